//! Signed charts: made and checked here, and by Helm.
//!
//! `keys/one.asc` has the passphrase `secret one`, `keys/two.asc` has none; GnuPG made both.

use super::registry::{Doors, Registry};
use super::{Ran, chart, helm, real_helm, run};
use std::path::Path;

const ONE: &str = "B07A0FDBAB581DBED6D578861C97BDECBAEA8E2F";
const TWO: &str = "7DCBA94B0F5FF093CDBF970C6F6888A594A51826";

/// A folder with a chart, both keys, and the passphrase.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts/keys");
    let read = |name: &str| std::fs::read_to_string(keys.join(name)).unwrap();
    let both = format!("{}{}", read("one.asc"), read("two.asc"));
    chart(
        folder.path(),
        &[
            (
                "app/Chart.yaml",
                "apiVersion: v2\nname: app\nversion: 1.2.3\ndescription: '- a dash '\nappVersion: '9'\n",
            ),
            ("app/templates/x.yaml", "kind: X\n"),
            ("both.asc", &both),
            ("one.asc", &read("one.asc")),
            ("two.asc", &read("two.asc")),
            ("pass", "secret one\n"),
            ("wrong", "something else\n"),
        ],
    );
    folder
}

fn ok(ran: Ran) -> String {
    assert!(ran.ok, "{}", ran.text);
    ran.text
}

/// The words that sign with a key. Helm reads only the first key of an armoured file.
fn sign(key: &str) -> String {
    let keyring = if key.ends_with("One") { "one.asc" } else { "two.asc" };
    format!("package app --sign --key '{key}' --keyring {keyring} --passphrase-file pass -d out")
}

#[test]
fn a_signed_chart_is_verified_by_every_command_that_can() {
    let folder = folder();
    let ran = |words: &str| helm(folder.path(), folder.path(), words);
    assert_eq!(ok(ran(&sign("Signer One"))), "Successfully packaged chart and saved it to: out/app-1.2.3.tgz\n");
    let signature = std::fs::read_to_string(folder.path().join("out/app-1.2.3.tgz.prov")).unwrap();
    let head = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\napiVersion: v2\nappVersion: \"9\"\n";
    assert!(signature.starts_with(head) && signature.ends_with("-----END PGP SIGNATURE-----"), "{signature}");
    let verified = ok(ran("verify out/app-1.2.3.tgz --keyring both.asc"));
    let wanted = format!(
        "Signed by: Signer One <one@example.test>\nUsing Key With Fingerprint: {ONE}\nChart Hash Verified: sha256:"
    );
    assert!(verified.starts_with(&wanted), "{verified}");
    ok(ran("template x ./out/app-1.2.3.tgz --verify --keyring one.asc"));
    ok(ran("show chart ./out/app-1.2.3.tgz --verify --keyring one.asc"));
    ok(ran(&sign("Two")));
    assert!(ok(ran("verify out/app-1.2.3.tgz --keyring two.asc")).contains(TWO));

    let registry = Registry::start(Doors::Open, None);
    let place = format!("oci://{}/charts", registry.address);
    ok(ran(&format!("push out/app-1.2.3.tgz {place}")));
    let pulled = ok(ran(&format!("pull {place}/app --verify --keyring two.asc -d pulled")));
    assert!(pulled.contains(&format!("Using Key With Fingerprint: {TWO}\n")), "{pulled}");
    assert!(folder.path().join("pulled/app-1.2.3.tgz.prov").exists());
    ok(ran(&format!("template x {place}/app --verify --keyring two.asc")));
    assert!(!ran(&format!("template x {place}/app --verify --keyring one.asc")).ok);
    let needs = format!(
        "apiVersion: v2\nname: top\nversion: 0.1.0\ndependencies: [{{name: app, version: 1.2.3, repository: '{place}'}}]\n"
    );
    chart(folder.path(), &[("top/Chart.yaml", &needs)]);
    ok(ran("dependency update top --verify --keyring two.asc"));
    assert!(!ran("dependency update top --verify --keyring one.asc").ok);

    std::fs::remove_file(folder.path().join("out/app-1.2.3.tgz.prov")).unwrap();
    ok(ran(&format!("push out/app-1.2.3.tgz {place}/unsigned")));
    let refused = ran(&format!("pull {place}/unsigned/app --verify --keyring two.asc"));
    assert!(!refused.ok && refused.text.contains("failed to fetch provenance"), "{}", refused.text);
    let warned = ok(ran(&format!("pull {place}/unsigned/app --prov -d pulled-without")));
    assert!(warned.contains("WARNING: Verification not found for "), "{warned}");
    std::fs::remove_dir_all(folder.path().join("top/charts")).unwrap();
    chart(folder.path(), &[("top/Chart.yaml", &needs.replace("/charts'", "/charts/unsigned'"))]);
    assert!(!ran("dependency update top --verify --keyring two.asc").ok);
}

/// What must be refused: the words, what is done to the files first, and Helm's complaint.
type Case = (&'static str, fn(&Path), &'static str);

const REFUSED: &[Case] = &[
    ("verify out/app-1.2.3.tgz --keyring two.asc", |_| {}, "Error: openpgp: signature made by unknown entity\n"),
    (
        "verify out/app-1.2.3.tgz --keyring gone",
        |_| {},
        "Error: failed to load keyring: open gone: no such file or directory\n",
    ),
    ("verify app --keyring one.asc", |_| {}, "Error: unpacked charts cannot be verified\n"),
    (
        "package app --sign --key One --keyring one.asc --passphrase-file wrong",
        |_| {},
        "Error: openpgp: invalid data: private key checksum failure\n",
    ),
    (
        "package app --sign --key Signer --keyring both.asc --passphrase-file pass",
        |_| {},
        "Error: more than one key contain the id \"Signer\"\n",
    ),
    (
        "package app --sign --key Nobody --keyring one.asc --passphrase-file pass",
        |_| {},
        "Error: private key not found\n",
    ),
    ("package app --sign --keyring one.asc", |_| {}, "Error: --key is required for signing a package\n"),
    ("package app --sign --key x --keyring gone", |_| {}, "Error: open gone: no such file or directory\n"),
    (
        "verify out/x.tgz --keyring one.asc",
        |out| {
            std::fs::copy(out.join("app-1.2.3.tgz"), out.join("x.tgz")).unwrap();
            std::fs::copy(out.join("app-1.2.3.tgz.prov"), out.join("x.tgz.prov")).unwrap();
        },
        "Error: provenance does not contain a SHA for a file named \"x.tgz\"\n",
    ),
    (
        "verify out/x.tgz --keyring one.asc",
        |out| std::fs::write(out.join("x.tgz.prov"), "hello").unwrap(),
        "Error: signature block not found\n",
    ),
    (
        "verify out/app-1.2.3.tgz --keyring one.asc",
        |out| {
            let path = out.join("app-1.2.3.tgz.prov");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("name: app", "name: apq")).unwrap();
        },
        "Error: openpgp: invalid signature: ",
    ),
];

#[test]
fn what_is_not_signed_well_is_refused_in_helms_words() {
    let folder = folder();
    let ran = |words: &str| helm(folder.path(), folder.path(), words);
    ok(ran(&sign("Signer One")));
    let theirs = real_helm();
    for (words, change, wanted) in REFUSED {
        change(&folder.path().join("out"));
        let told = ran(words);
        assert!(!told.ok && told.text.starts_with(wanted), "{words}: {}", told.text);
        if let Some(program) = theirs.as_ref().filter(|_| !words.contains("both.asc")) {
            let told = run(&program.display().to_string(), folder.path(), folder.path(), words);
            assert!(!told.ok && told.text.starts_with(wanted), "Helm, {words}: {}", told.text);
        }
    }
    let archive = folder.path().join("out/app-1.2.3.tgz");
    ok(ran(&sign("Signer One")));
    let mut data = std::fs::read(&archive).unwrap();
    data.push(b'x');
    std::fs::write(&archive, data).unwrap();
    let told = ran("verify out/app-1.2.3.tgz --keyring one.asc");
    assert!(told.text.starts_with("Error: sha256 sum does not match for app-1.2.3.tgz: \"sha256:"), "{}", told.text);
}

#[test]
fn helm_and_coracle_verify_what_the_other_signed() {
    let Some(program) = real_helm() else { return };
    let folder = folder();
    let ours = |words: &str| helm(folder.path(), folder.path(), words);
    let theirs = |words: &str| run(&program.display().to_string(), folder.path(), folder.path(), words);
    for key in ["Signer One", "Signer Two"] {
        for signer in [&ours as &dyn Fn(&str) -> Ran, &theirs] {
            ok(signer(&sign(key)));
            let keyring = if key.ends_with("One") { "one.asc" } else { "two.asc" };
            let words = format!("verify out/app-1.2.3.tgz --keyring {keyring}");
            let (own, other) = (ok(ours(&words)), ok(theirs(&words)));
            assert_eq!(own, other);
            assert!(own.starts_with(&format!("Signed by: {key} <")), "{own}");
        }
    }
}
