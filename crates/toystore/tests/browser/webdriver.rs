//! As much of a `WebDriver` client as these tests need (<https://www.w3.org/TR/webdriver2/>), and
//! the Chromium that it drives. The usual client crates bring about thirty packages with them, some
//! under a copyleft license.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::store::TIMEOUT;

/// How the protocol marks a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character (<https://www.w3.org/TR/webdriver2/#keyboard-actions>).
pub(crate) mod key {
    pub(crate) const TAB: &str = "\u{e004}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";
    pub(crate) const END: &str = "\u{e010}";
    pub(crate) const HOME: &str = "\u{e011}";
    pub(crate) const LEFT: &str = "\u{e012}";
    pub(crate) const RIGHT: &str = "\u{e014}";
}

/// A headless Chromium with its chromedriver. Both end when it is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    _driver: Child,
    port: u16,
    /// The path of the session's commands.
    session: String,
    client: reqwest::Client,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::with_arguments(&[]).await
    }

    /// Starts Chromium with more arguments.
    pub(crate) async fn with_arguments(more: &[&str]) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut driver = command.spawn().expect("chromedriver (Debian: apt-get install chromium chromium-driver)");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver prints its port");
            // "ChromeDriver was started successfully on port 41023."
            if let Some((_, port)) = line.split_once(" successfully on port ") {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        let client = reqwest::Client::builder().no_proxy().timeout(3 * TIMEOUT).build().unwrap();
        let mut this = Self { _driver: driver, port, session: String::new(), client };
        let mut arguments = vec!["--headless=new", "--disable-gpu", "--window-size=1280,800"];
        // Chromium's sandbox does not work for root.
        if rustix::process::geteuid().is_root() {
            arguments.push("--no-sandbox");
        }
        arguments.extend(more);
        let options = json!({ "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = this.command("/session", wanted).await;
        this.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        this
    }

    /// A command that must succeed.
    async fn command(&self, path: &str, parameters: Value) -> Value {
        let result = self.attempt(path, parameters).await;
        result.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command to the session.
    async fn attempt(&self, path: &str, parameters: Value) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}{}{path}", self.port, self.session);
        let response = self.client.post(&url).json(&parameters).send().await.map_err(|error| error.to_string())?;
        let mut answer: Value = response.json().await.map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(code) => Err(format!("{code}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value),
        }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.command("/url", json!({ "url": url })).await;
    }

    pub(crate) async fn reload(&self) {
        self.command("/refresh", json!({})).await;
    }

    /// Opens another tab, and makes it the current one.
    pub(crate) async fn new_tab(&self) {
        let tab = self.command("/window/new", json!({ "type": "tab" })).await;
        self.switch_to(tab["handle"].as_str().unwrap()).await;
    }

    /// The handle of the current tab.
    pub(crate) async fn tab(&self) -> String {
        let url = format!("http://127.0.0.1:{}{}/window", self.port, self.session);
        let answer: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        answer["value"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn switch_to(&self, tab: &str) {
        self.command("/window", json!({ "handle": tab })).await;
    }

    /// Makes the first `iframe` of the page the current document.
    pub(crate) async fn enter_frame(&self) {
        self.command("/frame", json!({ "id": 0 })).await;
    }

    /// Makes the page the current document again.
    pub(crate) async fn leave_frame(&self) {
        self.command("/frame", json!({ "id": null })).await;
    }

    /// What a function body in JavaScript returns, or what its promise becomes.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Clicks at the middle of an element, where a person would.
    ///
    /// # Errors
    /// If there is no such element, or if another one covers it.
    pub(crate) async fn click(&self, selector: &str) -> Result<(), String> {
        let found = self.attempt("/element", json!({ "using": "css selector", "value": selector })).await?;
        let element = found[ELEMENT].as_str().expect("a reference");
        // WebDriver scrolls only to what is outside of the window, not to what is below the bar at
        // its top.
        let script = "arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })";
        self.attempt("/execute/sync", json!({ "script": script, "args": [{ ELEMENT: element }] })).await?;
        self.attempt(&format!("/element/{element}/click"), json!({})).await.map(|_| ())
    }

    /// Presses and releases keys, one after the other.
    pub(crate) async fn press(&self, keys: &[&str]) {
        let actions: Vec<_> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        self.command("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] })).await;
    }

    /// A command of the `DevTools` protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// The size of the page, in CSS pixels.
    pub(crate) async fn resize(&self, width: u16, height: u16) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Sets media features that a person sets in the system, such as `prefers-reduced-motion`.
    pub(crate) async fn prefer(&self, features: &[(&str, &str)]) {
        let features: Vec<_> = features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What is visible, as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", json!({ "format": "png" })).await;
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    /// Chromium outlives a chromedriver that is killed, so the session is ended first.
    fn drop(&mut self) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        let request = format!("DELETE {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read(&mut [0; 512]);
    }
}
