//! A browser for tests: Chromium without a screen, driven by WebDriver through chromedriver.

use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_secs(60);

/// The flags of a browser that has no screen and speaks with nobody but the page.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// A browser with one window; it ends with its test.
pub struct Browser {
    driver: Child,
    session: String,
    /// What the browser said of errors, but for requests that it ended because the networks changed.
    said: RefCell<Vec<String>>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    _data: tempfile::TempDir,
}

/// Why a browser ends its requests when the machine's networks change: clusters of other tests start and go.
const CHANGED: &str = "ERR_NETWORK_CHANGED";

impl Browser {
    /// Starts one; nothing, with a word, where there is none.
    pub fn start() -> Option<Self> {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = driver else {
            println!("skipped: there is no chromedriver (Debian's chromium-driver)");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        // The port that was asked for, which is any, is said before the one that it became.
        let port = |line: String| line.split("on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok();
        let port = lines.find_map(|line| port(line.ok()?).filter(|port| *port != 0)).unwrap();
        // Whoever writes to a pipe that nobody reads is killed.
        std::thread::spawn(move || lines.for_each(drop));
        let data = tempfile::tempdir().unwrap();
        coracle::base::crypto::install();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let session = format!("http://127.0.0.1:{port}");
        let mut browser = Self { driver, session, said: RefCell::default(), client, runtime, _data: data };
        let data = format!("--user-data-dir={}", browser._data.path().display());
        let flags: Vec<&str> = FLAGS.iter().copied().chain([data.as_str()]).collect();
        let wanted = json!({"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": flags}});
        let made = browser.call(reqwest::Method::POST, "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        let id = made["sessionId"].as_str().unwrap().to_string();
        browser.session = format!("{}/session/{id}", browser.session);
        Some(browser)
    }

    #[track_caller]
    fn call(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = self.client.request(method.clone(), format!("{}{path}", self.session));
        let request = if method == reqwest::Method::POST { request.body(body.to_string()) } else { request };
        let text = self.runtime.block_on(async { request.send().await.unwrap().text().await.unwrap() });
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["value"]["error"].is_null(), "{path} {body}: {text}");
        answer["value"].clone()
    }

    /// Goes to an address, and again where a part of the page could not be loaded because the networks changed.
    #[track_caller]
    pub fn open(&self, url: &str) {
        let go = |url: &str| self.call(reqwest::Method::POST, "/url", &json!({"url": url}));
        go(url);
        while self.listen() {
            // Another fragment alone loads nothing.
            go("about:blank");
            go(url);
        }
    }

    /// Goes to a place of the page.
    #[track_caller]
    pub fn go(&self, place: &str) {
        self.run(&format!("location.hash = '{place}'"));
    }

    /// Runs a script in the page and returns what it returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.call(reqwest::Method::POST, "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression of the page is true: it is looked at before every paint.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0]; const end = Date.now() + 5000; \
             const look = () => {{ if ({expression}) done(true); else if (Date.now() > end) done(false); \
             else requestAnimationFrame(look); }}; look()"
        );
        let begun = Instant::now();
        while self.call(reqwest::Method::POST, "/execute/async", &json!({"script": script, "args": []})) != true {
            if begun.elapsed() > PATIENCE {
                let shown = self.run("return document.body.innerText");
                panic!(
                    "it did not come about that {expression}; the page shows {shown}; complaints: {:?}",
                    self.complaints()
                );
            }
        }
    }

    /// Presses the last button with these words on it: that of a dialog, where one is open.
    #[track_caller]
    pub fn press(&self, words: &str) {
        let find = format!(
            "[...document.querySelectorAll('button')].filter(one => one.textContent.trim() === '{words}').at(-1)"
        );
        self.until(&find);
        self.run(&format!("{find}.click()"));
    }

    /// Types, key by key, where the focus is.
    #[track_caller]
    pub fn keys(&self, text: &str) {
        let strokes: Vec<Value> = text
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.call(
            reqwest::Method::POST,
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}),
        );
    }

    /// What the browser said of errors: of scripts, of the policy, of requests that failed.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        self.listen();
        self.said.take()
    }

    /// Keeps what the browser said of errors since the last call; whether it ended requests because the networks changed.
    fn listen(&self) -> bool {
        let said = self.call(reqwest::Method::POST, "/se/log", &json!({"type": "browser"}));
        let said = said.as_array().cloned().unwrap_or_default();
        let severe = said.iter().filter(|one| one["level"] == "SEVERE").map(|one| one["message"].to_string());
        let (ended, others): (Vec<String>, Vec<String>) = severe.partition(|said| said.contains(CHANGED));
        self.said.borrow_mut().extend(others);
        !ended.is_empty()
    }

    /// The same without those that hold one of the words, `|` between them.
    #[track_caller]
    pub fn complaints_but(&self, expected: &str) -> Vec<String> {
        let is_expected = |said: &String| expected.split('|').any(|word| said.contains(word));
        self.complaints().into_iter().filter(|said| !is_expected(said)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; a driver that is gone has ended it.
        let end = self.client.delete(&self.session);
        self.runtime.block_on(async { end.send().await.ok() });
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
