//! Repositories over HTTP: a server of this test, with the user's files in a folder of its own.

use super::{chart, helm};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

type Pages = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// Answers GET with pages until the test ends; the port.
fn serve(pages: Pages) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or_default();
            let page = pages.lock().unwrap().get(path).cloned();
            let (status, body) = page.map_or(("404 Not Found", Vec::new()), |page| ("200 OK", page));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // A client that went away is no error of the test.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    port
}

#[test]
fn charts_come_from_repositories_and_dependencies_are_filled() {
    let folder = tempfile::tempdir().unwrap();
    let pages = Pages::default();
    let port = serve(pages.clone());
    let url = format!("http://127.0.0.1:{port}/charts");
    let run = |words: &str| {
        let ran = helm(folder.path(), &folder.path().join("home"), words);
        assert!(ran.ok, "{words}: {}", ran.text);
        ran.text
    };
    for version in ["1.0.0", "1.1.0", "2.0.0-rc.1"] {
        let metadata = format!("apiVersion: v2\nname: db\nversion: {version}\ndescription: keeps things\n");
        chart(
            folder.path(),
            &[("db/Chart.yaml", &metadata), ("db/templates/x.yaml", "version: {{ .Chart.Version }}\n")],
        );
        run("package db -d served");
    }
    run(&format!("repo index served --url {url}"));
    for entry in std::fs::read_dir(folder.path().join("served")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/charts/{}", path.file_name().unwrap().display());
        pages.lock().unwrap().insert(name, std::fs::read(path).unwrap());
    }
    assert_eq!(run(&format!("repo add mine {url}")), "\"mine\" has been added to your repositories\n");
    assert!(run("repo list -o json").contains("\"name\":\"mine\""));
    assert!(run("repo update").contains("Successfully got an update from the \"mine\" chart repository"));
    assert!(run("search repo things").contains("mine/db\t1.1.0"));
    assert!(run("search repo db --devel").contains("mine/db\t2.0.0-rc.1"));
    assert!(run("template mine/db --version ~1.0").contains("version: 1.0.0"));
    assert!(run(&format!("template db --repo {url}")).contains("version: 1.1.0"));
    assert!(run(&format!("template {url}/db-1.0.0.tgz")).contains("version: 1.0.0"));
    run("pull mine/db --untar --untardir out");
    assert!(folder.path().join("out/db/Chart.yaml").exists());

    let needs = format!(
        "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- {{name: db, version: ^1, repository: '{url}'}}\n- {{name: local, \
         version: 1.x, repository: 'file://../local'}}\n"
    );
    chart(
        folder.path(),
        &[("app/Chart.yaml", &needs), ("local/Chart.yaml", "apiVersion: v2\nname: local\nversion: 1.5.0\n")],
    );
    let filled = run("dependency update app");
    assert!(filled.contains("Saving 2 charts\n"), "{filled}");
    assert!(folder.path().join("app/charts/db-1.1.0.tgz").exists());
    assert!(folder.path().join("app/charts/local-1.5.0.tgz").exists());
    assert!(std::fs::read_to_string(folder.path().join("app/Chart.lock")).unwrap().contains("version: 1.1.0\n"));
    let listed = run("dependency list app");
    assert!(listed.lines().skip(1).take(2).all(|line| line.trim_end().ends_with("ok")), "{listed}");
    std::fs::remove_dir_all(folder.path().join("app/charts")).unwrap();
    run("dependency build app");
    assert!(run("template app").contains("app/charts/db/templates/x.yaml"));
    assert_eq!(run("repo remove mine"), "\"mine\" has been removed from your repositories\n");
}

#[test]
fn a_repository_that_cannot_be_reached_or_lies_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pages = Pages::default();
    let port = serve(pages.clone());
    let url = format!("http://127.0.0.1:{port}");
    let refused = |words: &str| {
        let ran = helm(folder.path(), folder.path(), words);
        assert!(!ran.ok, "{words}: {}", ran.text);
        ran.text
    };
    let told = refused(&format!("repo add x {url}"));
    assert!(told.contains("is not a valid chart repository or cannot be reached: failed to fetch"), "{told}");
    let digest = "a".repeat(64);
    let index = format!(
        "apiVersion: v1\nentries:\n  db:\n  - {{apiVersion: v2, name: db, version: 1.0.0, urls: [db-1.0.0.tgz], digest: {digest}}}\n"
    );
    pages.lock().unwrap().insert("/index.yaml".into(), index.into_bytes());
    pages.lock().unwrap().insert("/db-1.0.0.tgz".into(), b"something else".to_vec());
    let told = refused(&format!("template db --repo {url}"));
    assert!(told.contains("arrived with the digest"), "{told}");
    let told = refused(&format!("template db --repo {url} --version 9"));
    assert_eq!(told, format!("Error: chart \"db\" version \"9\" not found in {url} repository\n"));
}

#[test]
fn schemas_may_refer_to_schemas_of_other_servers_and_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let pages = Pages::default();
    let url = format!("http://127.0.0.1:{}/schemas", serve(pages.clone()));
    let root = format!(
        r##"{{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {{
            "port": {{"$ref": "{url}/all.json#/definitions/port"}}, "name": {{"$ref": "{url}/all.json#/definitions/name"}},
            "free": {{"$ref": "urn:example:anything"}}}}}}"##
    );
    let all = r##"{"definitions": {"port": {"$ref": "#/definitions/number"}, "number": {"type": "integer", "maximum": 65535},
        "name": {"$ref": "name.json"}}}"##;
    let name = r#"{"type": "string", "maxLength": 3}"#;
    for (path, text) in [("/schemas/all.json", all), ("/schemas/name.json", name)] {
        pages.lock().unwrap().insert(path.into(), text.as_bytes().to_vec());
    }
    let template = |schema: &str, words: &str| {
        let metadata = "apiVersion: v2\nname: app\nversion: 0.1.0\n";
        let files =
            [("app/Chart.yaml", metadata), ("app/values.schema.json", schema), ("app/templates/x.yaml", "a: b\n")];
        chart(folder.path(), &files);
        helm(folder.path(), &folder.path().join("home"), &format!("template app {words}"))
    };
    assert!(template(&root, "--set port=80,name=abc,free.of=rules").ok);
    let refused = template(&root, "--set port=70000,name=abcd");
    let wanted = "app:\n- at '/name': maxLength: got 4, want 3\n- at '/port': maximum: got 70,000, want 65,535\n";
    assert!(!refused.ok && refused.text.contains(wanted), "{}", refused.text);

    let missing = format!("{url}/none.json");
    let refused = template(&format!(r#"{{"$ref": "{missing}"}}"#), "");
    let wanted = format!("failing loading {missing:?}: HTTP request to {missing} returned status 404 (Not Found)");
    assert!(!refused.ok && refused.text.contains(&wanted), "{}", refused.text);
    let file = folder.path().join("port.json");
    std::fs::write(&file, r#"{"properties": {"port": {"type": "integer"}}}"#).unwrap();
    let near = format!(r#"{{"$ref": "file://{}"}}"#, file.display());
    assert!(template(&near, "--set port=80").ok);
    let refused = template(&near, "--set port=x");
    assert!(!refused.ok && refused.text.contains("- at '/port': got string, want integer"), "{}", refused.text);
    for (path, why) in
        [("/dev/zero", "not a regular file"), ("/etc", "is a directory"), ("/etc/passwd", "invalid char")]
    {
        let refused = template(&format!(r#"{{"$ref": "file://{path}"}}"#), "");
        assert!(!refused.ok && refused.text.contains(why), "{}", refused.text);
    }
}
