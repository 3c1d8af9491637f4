//! Runs work in a separate process, so that the peak of its memory is that of the work.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The resources that a piece of work used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) seconds: f64,
    /// The growth of the peak of resident memory, in KiB; `None` if the system does not report it.
    pub(super) grown_kib: Option<u64>,
}

impl Used {
    pub(super) fn mebibytes(self) -> Option<f64> {
        self.grown_kib.map(|kib| kib as f64 / 1024.0)
    }

    /// Prints it as JSON for the parent process.
    pub(super) fn print(self) {
        println!("{}", serde_json::to_string(&self).expect("plain values"));
    }
}

/// Runs this program again to do `work` on `url`.
pub(super) fn run(work: &str, url: &str) -> Used {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args(["http", "--child", &format!("{work} {url}")])
        .output()
        .expect("this program can be started again");
    assert!(
        output.status.success(),
        "{work}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the child prints its usage as JSON")
}

/// Measures the time of `work`, and by how much it raises the peak of resident memory.
pub(super) fn measure(work: impl FnOnce()) -> Used {
    let before = peak_kib();
    let ((), elapsed) = crate::measure::time(work);
    Used {
        seconds: elapsed.as_secs_f64(),
        grown_kib: before.zip(peak_kib()).map(|(before, after)| after - before),
    }
}

/// The peak of resident memory so far.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
