// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boots a guest and listens to it. Emulated (TCG), not virtualised: it needs nothing of the
//! machine, and runs wherever the tests do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::guest::{MODULES_DISK, ROOT_DISK};
use super::packages::Kernel;
use super::report::{Ended, Report};
use super::{THROWAWAY, initramfs, tools};
use crate::workspace;

/// A guest that takes longer hangs: the longest known takes a few minutes.
const LIMIT: Duration = Duration::from_secs(60 * 60);
const MEMORY: &str = "1024";
const CPUS: &str = "2";

/// What every guest is made of.
#[derive(Debug)]
pub(super) struct Guests {
    /// The root disk; what guests write to it is thrown away.
    pub(super) root: PathBuf,
    /// For initramfs and logs.
    pub(super) folder: PathBuf,
    /// This program.
    pub(super) xtask: PathBuf,
    /// More words for the kernel's command line.
    pub(super) append: Option<String>,
}

/// How a guest went.
pub(super) struct Went {
    pub(super) report: Report,
    pub(super) problems: Vec<String>,
    pub(super) seconds: u64,
    /// All that it said.
    pub(super) log: PathBuf,
}

impl Guests {
    /// Boots one with this kernel, and shows each line that it says.
    pub(super) fn run(
        &self,
        kernel: &Kernel,
        suites: &[String],
        limit: Option<u64>,
        show: impl Fn(&str),
    ) -> Result<Went> {
        let name = kernel.series.name;
        let file = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        let (initrd, console, log) = (file("cpio"), file("console"), file("log"));
        initramfs::make(&self.xtask, &kernel.boot_modules(), &[], &initrd)?;
        let began = Instant::now();
        let mut qemu = self.command(kernel, &initrd, &console);
        let child = qemu
            .spawn()
            .with_context(|| format!("could not start `{}`", workspace::shown(&qemu)))?;
        let limit = limit.map_or(LIMIT, Duration::from_secs);
        let (report, ended) = listen(child, limit, &log, show)?;
        let console = fs::read(&console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        Ok(Went {
            problems: report.problems(suites, &console, ended),
            report,
            seconds: began.elapsed().as_secs(),
            log,
        })
    }

    fn command(&self, kernel: &Kernel, initrd: &Path, console: &Path) -> Command {
        let mut qemu = machine(kernel, initrd, console, &self.command_line());
        attach(&mut qemu, ROOT_DISK, &self.root, "snapshot=on");
        attach(&mut qemu, MODULES_DISK, &kernel.modules(), "readonly=on");
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        qemu
    }

    fn command_line(&self) -> String {
        let append = self.append.as_deref().unwrap_or_default();
        format!("{THROWAWAY} {append} -- guest init")
    }
}

/// A machine without disks, whose first serial line is the console, and whose second one is the
/// standard output. A panic ends it at once, and so does what would only have been reported.
pub(super) fn machine(kernel: &Kernel, initrd: &Path, console: &Path, append: &str) -> Command {
    // It must not outlive xtask, however that ends.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL", "--", tools::QEMU]);
    // q35 with the plain CPU is the cheapest to emulate; microvm has no clock that Debian's
    // kernels can calibrate by.
    qemu.args(["-machine", "q35", "-accel", "tcg,thread=multi"])
        .args(["-cpu", "qemu64", "-smp", CPUS, "-m", MEMORY])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-nic", "none"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(initrd)
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet panic=-1 oops=panic mitigations=off {append}"
        ))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .args(["-serial", "stdio"]);
    qemu
}

/// Gives a machine a disk, which it finds by its name.
pub(super) fn attach(qemu: &mut Command, name: &str, image: &Path, option: &str) {
    let file = image.display();
    qemu.arg("-drive")
        .arg(format!("if=none,id={name},format=raw,file={file},{option}"))
        .arg("-device")
        .arg(format!("virtio-blk-pci,drive={name},serial={name}"));
}

/// What a guest said in its last run, by its logs in this folder.
pub(super) fn last_run(folder: &Path, name: &str, suites: &[String]) -> Result<Went> {
    let log = folder.join(format!("{name}.log"));
    let said = fs::read_to_string(&log)
        .with_context(|| format!("run it first: cargo xtask kernels --kernel {name}"))?;
    let console = fs::read(folder.join(format!("{name}.console"))).unwrap_or_default();
    let mut report = Report::default();
    said.lines().for_each(|line| report.line(line));
    let console = String::from_utf8_lossy(&console);
    Ok(Went {
        problems: report.problems(suites, &console, Ended::ByItself),
        report,
        seconds: 0,
        log,
    })
}

/// Reads what a guest says, until it ends or takes too long.
fn listen(
    mut qemu: Child,
    limit: Duration,
    log: &Path,
    show: impl Fn(&str),
) -> Result<(Report, Ended)> {
    let output = qemu.stdout.take().context("a guest without output")?;
    let mut log = fs::File::create(log).context("could not make a guest's log")?;
    let deadline = Instant::now() + limit;
    let mut report = Report::default();
    let lines = lines_of(output);
    let ended = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                writeln!(log, "{line}").context("could not write a guest's log")?;
                report.line(&line);
                show(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break Ended::ByItself,
            Err(RecvTimeoutError::Timeout) => break Ended::Hung(limit.as_secs()),
        }
    };
    // After the end of its output it has ended, or never will.
    let _ = qemu.kill();
    qemu.wait().context("could not wait for the emulator")?;
    Ok((report, ended))
}

/// Reads lines on a thread, which ends with the output.
pub(crate) fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}
