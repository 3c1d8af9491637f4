//! Headless Chromium, driven over its DevTools protocol. The protocol runs over pipes: JSON messages that end with a null
//! byte.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Result;

/// How long the browser may take for one answer or event.
const LIMIT: Duration = Duration::from_secs(60);

/// The names of the program, by distribution.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Maps standard input and output to the descriptors 3 and 4 of the protocol. Other output goes to standard error.
const PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 1>&2"#;

/// A browser with one tab. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Browser {
    process: Child,
    input: ChildStdin,
    messages: mpsc::Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    events: Vec<Value>,
}

impl Browser {
    /// Starts a browser with a new profile in `directory`.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let log_file = directory.join("chromium.log");
        let log =
            File::create(&log_file).map_err(|error| format!("{} cannot be written: {error}", log_file.display()))?;
        let mut process = Command::new("sh")
            .args(["-c", PIPES, program()?])
            // The sandbox does not work for root. The only page is the one that this command has written.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--window-size=1400,1000"])
            .arg(format!("--user-data-dir={}", directory.join("profile").display()))
            .args(["--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("chromium cannot be started: {error}"))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("chromium has no pipes".to_owned());
        };
        let (sender, messages) = mpsc::channel();
        // Ends with the process, which closes the pipe.
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Some(message) = message.ok().and_then(|json| serde_json::from_slice(&json).ok()) else {
                    break;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            input,
            messages,
            last_id: 0,
            session: None,
            events: Vec::new(),
        };
        browser
            .attach()
            .map_err(|error| format!("{error}; the output of the browser is in {}", log_file.display()))?;
        Ok(browser)
    }

    /// Opens a tab, and lets it report requests and errors of scripts.
    fn attach(&mut self) -> Result<()> {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached = self.call(
            "Target.attachToTarget",
            &json!({"targetId": target["targetId"], "flatten": true}),
        )?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Accessibility"] {
            self.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(())
    }

    /// Opens an address, and waits until the page is loaded.
    pub(super) fn open(&mut self, address: &str) -> Result<()> {
        // A page that differs only in its fragment would not be loaded again.
        for address in ["about:blank", address] {
            self.events.clear();
            let navigated = self.call("Page.navigate", &json!({"url": address}))?;
            if let Some(error) = navigated["errorText"].as_str() {
                return Err(format!("{address} cannot be opened: {error}"));
            }
            while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
                let event = self.receive("the load of the page")?;
                self.events.push(event);
            }
        }
        Ok(())
    }

    /// Evaluates a JavaScript expression in the page.
    pub(super) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut evaluated = self.call("Runtime.evaluate", &parameters)?;
        match evaluated.get("exceptionDetails") {
            Some(exception) => Err(format!("{expression} failed: {exception}")),
            None => Ok(evaluated["result"]["value"].take()),
        }
    }

    /// The roles of the accessibility tree of the page, one per node.
    pub(super) fn roles(&mut self) -> Result<Vec<String>> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}))?;
        let nodes = tree["nodes"].as_array().into_iter().flatten();
        let roles = nodes.filter(|node| node["ignored"] != true);
        Ok(roles
            .filter_map(|node| node["role"]["value"].as_str().map(str::to_owned))
            .collect())
    }

    /// Saves a picture of the page, for people.
    pub(super) fn picture(&mut self, file: &Path) -> Result<()> {
        let picture = self.call("Page.captureScreenshot", &json!({"format": "png"}))?;
        let png = STANDARD
            .decode(picture["data"].as_str().unwrap_or_default())
            .map_err(|error| format!("the picture is not base64: {error}"))?;
        std::fs::write(file, png).map_err(|error| format!("{} cannot be written: {error}", file.display()))
    }

    /// The addresses that were requested since the page was opened.
    pub(super) fn requests(&self) -> Vec<String> {
        self.events_of("Network.requestWillBeSent")
            .filter_map(|parameters| parameters["request"]["url"].as_str().map(str::to_owned))
            .collect()
    }

    /// The errors of scripts since the page was opened.
    pub(super) fn script_errors(&self) -> Vec<String> {
        self.events_of("Runtime.exceptionThrown")
            .map(Value::to_string)
            .collect()
    }

    fn events_of<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a Value> {
        let events = self.events.iter().filter(move |event| event["method"] == method);
        events.map(|event| &event["params"])
    }

    /// Calls a method of the protocol. Events that arrive meanwhile are kept.
    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input
            .write_all(&bytes)
            .map_err(|error| format!("chromium does not take {method}: {error}"))?;
        loop {
            let mut answer = self.receive(method)?;
            if answer["id"] != self.last_id {
                self.events.push(answer);
            } else if answer.get("error").is_some() {
                return Err(format!("{method} failed: {}", answer["error"]));
            } else {
                return Ok(answer["result"].take());
            }
        }
    }

    fn receive(&self, what: &str) -> Result<Value> {
        self.messages.recv_timeout(LIMIT).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => format!("waited {LIMIT:?} for {what}"),
            mpsc::RecvTimeoutError::Disconnected => format!("chromium ended before {what}"),
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The shell has become the browser, so its other processes end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Result<&'static str> {
    let runs = |program: &&&str| {
        let version = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    let found = PROGRAMS.iter().find(runs).copied();
    found.ok_or_else(|| {
        format!(
            "no Chromium was found (tried {}); on Debian: apt-get install chromium",
            PROGRAMS.join(", ")
        )
    })
}
