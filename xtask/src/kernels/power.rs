// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine that uses up TOTP steps on a disk that outlives it, so that its power can be cut:
//! what its kernel had in memory is gone then, and so is what its disk had not been told to flush.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::boot::{attach, machine};
use super::guest::{LEDGER_DISK, LEDGER_PROGRAM, LIST_DISK};
use super::packages::{Found, Kernel};
use super::{catalog, disk, initramfs, lock_folder, packages, tools, writes};
use crate::host::Consent;
use crate::workspace::{self, Workspace};

/// `cargo xtask kernels` has it ready, and it is the one that hosts get next.
const KERNEL: &str = "newest";
/// Of the disk; far more than all steps take, and little to make.
const DISK_MIB: u64 = 64;
const SECTOR: usize = 512;
/// Kinds of files: the disk as the next boot finds it, the one that the machine writes to, and the
/// log of that.
const DISK: &str = "ext4";
const LIVE: &str = "live";
const WRITES: &str = "writes";

/// All that such a machine takes.
#[derive(Debug)]
pub(crate) struct PowerMachine {
    kernel: Kernel,
    folder: PathBuf,
    /// No other run may use the folder meanwhile.
    _alone: File,
}

impl PowerMachine {
    /// Gets the kernel and the emulator ready; `program` is what runs in the machine.
    ///
    /// # Errors
    /// If one of them is missing and can't be had, which it names.
    pub(crate) fn prepare(workspace: &Workspace, program: &Path, consent: Consent) -> Result<Self> {
        let base = workspace.kernels();
        let alone = lock_folder(&base)?;
        tools::ensure(&base, consent)?;
        let kernel = find(&base)?;
        let folder = base.join("power");
        fs::create_dir_all(&folder).context("could not make a folder for the machine")?;
        let machine = Self {
            kernel,
            folder,
            _alone: alone,
        };
        let xtask = std::env::current_exe().context("could not find xtask itself")?;
        initramfs::make(
            &xtask,
            &machine.kernel.boot_modules(),
            &[(LEDGER_PROGRAM, program)],
            &machine.file("cpio"),
        )?;
        Ok(machine)
    }

    /// The release of its kernel.
    pub(crate) fn release(&self) -> &str {
        &self.kernel.facts.release
    }

    /// All that its kernel said in the last boot.
    pub(crate) fn console(&self) -> PathBuf {
        self.file("console")
    }

    /// Gives it an empty disk.
    ///
    /// # Errors
    /// If none can be made.
    pub(crate) fn renew_disk(&self) -> Result<()> {
        disk::make_empty(&self.file(DISK), DISK_MIB)
    }

    /// Takes from the disk what a power cut takes; to be called when the machine has ended.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub(crate) fn lose_unflushed(&self) -> Result<()> {
        let disk = self.file(DISK);
        if !writes::replay(&self.file(WRITES), &disk)? {
            // Then everything that was written counts: a power cut may spare that too.
            fs::copy(self.file(LIVE), disk).context("could not copy a disk")?;
        }
        Ok(())
    }

    /// Boots it with this kind of store, this list of acknowledged steps, and fresh ones from
    /// `from` on. `clock` is what
    /// its clock shows then, as 2031-06-01T12:00:00. Killing the child cuts its power.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn boot(&self, store: &str, list: &str, from: u64, clock: &str) -> Result<Child> {
        let mut list = list.as_bytes().to_vec();
        // A disk has whole sectors, and one at least.
        let length = (list.len() + 1).next_multiple_of(SECTOR);
        list.resize(length, b'\n');
        fs::write(self.file("list"), list).context("could not write the list of steps")?;
        let append = format!("-- guest ledger {store} {from}");
        let (initrd, console) = (self.file("cpio"), self.console());
        let mut qemu = machine(&self.kernel, &initrd, &console, &append);
        qemu.args(["-rtc", &format!("base={clock}")]);
        self.attach_disk(&mut qemu)?;
        attach(&mut qemu, LIST_DISK, &self.file("list"), "readonly=on");
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        qemu.spawn()
            .with_context(|| format!("could not start `{}`", workspace::shown(&qemu)))
    }

    /// Gives the machine a copy of its disk, and keeps a log of what it writes. With one queue no
    /// two flushes are under way; the log of zeroes and discards can't be relied on in older QEMUs.
    fn attach_disk(&self, qemu: &mut Command) -> Result<()> {
        let (live, log) = (self.file(LIVE), self.file(WRITES));
        fs::copy(self.file(DISK), &live).context("could not copy a disk")?;
        File::create(&log).context("could not make the log of a disk")?;
        qemu.arg("-blockdev")
            .arg(format!(
                "driver=blklogwrites,node-name={LEDGER_DISK},file.driver=file,file.filename={},\
                 log.driver=file,log.filename={}",
                live.display(),
                log.display()
            ))
            .arg("-device")
            .arg(format!(
                "virtio-blk-pci,drive={LEDGER_DISK},serial={LEDGER_DISK},write-cache=on,\
                 num-queues=1,write-zeroes=off,discard=off"
            ));
        Ok(())
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("machine.{kind}"))
    }
}

fn find(base: &Path) -> Result<Kernel> {
    let series = catalog::select(&[KERNEL.to_owned()], false)?;
    let series = *series.first().context("the catalog has no such kernel")?;
    match packages::prepare(base, series)? {
        Found::Kernel(kernel) => Ok(kernel),
        Found::NotAvailable(why) => bail!("there is no kernel {KERNEL}: {why}"),
    }
}
