//! Work in a process of its own, whose peak of memory is then that of the work.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// What a piece of work took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) seconds: f64,
    /// The growth of the peak of resident memory, in KiB; `None` where the system does not tell.
    pub(super) grown_kib: Option<u64>,
}

impl Used {
    pub(super) fn mebibytes(self) -> Option<f64> {
        self.grown_kib.map(|kib| kib as f64 / 1024.0)
    }

    /// For the parent.
    pub(super) fn print(self) {
        println!("{}", serde_json::to_string(&self).expect("plain values"));
    }
}

/// Runs this program again to do `work` on `url`.
pub(super) fn run(work: &str, url: &str) -> Used {
    let program = std::env::current_exe().expect("the system knows the program");
    let output = Command::new(program)
        .args(["http", "--child", &format!("{work} {url}")])
        .output()
        .expect("the program runs again");
    assert!(
        output.status.success(),
        "{work}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("what a child prints")
}

/// The time that `work` takes, and how far it drives the peak of memory up.
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
