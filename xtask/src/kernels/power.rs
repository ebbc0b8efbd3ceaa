// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine that uses up TOTP steps on a disk that outlives it, so that its power can be cut:
//! what its kernel had in memory is gone then, and the disk is what the next boot finds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use super::boot::{attach, machine};
use super::guest::{LEDGER_DISK, LEDGER_PROGRAM, LIST_DISK};
use super::packages::{Found, Kernel};
use super::{catalog, disk, initramfs, lock_folder, packages, tools};
use crate::host::Consent;
use crate::workspace::{self, Workspace};

/// `cargo xtask kernels` has it ready, and it is the one that hosts get next.
const KERNEL: &str = "newest";
/// Of the disk; far more than all steps take, and little to make.
const DISK_MIB: u64 = 64;
const SECTOR: usize = 512;

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
        let image = self.file("ext4");
        // Nothing of an older one may be left.
        if image.exists() {
            fs::remove_file(&image).context("could not remove an older disk")?;
        }
        disk::make_empty(&image, DISK_MIB)
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
        // What the guest has flushed is in this machine's memory then, and outlives QEMU.
        attach(
            &mut qemu,
            LEDGER_DISK,
            &self.file("ext4"),
            "cache=writeback",
        );
        attach(&mut qemu, LIST_DISK, &self.file("list"), "readonly=on");
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        qemu.spawn()
            .with_context(|| format!("could not start `{}`", workspace::shown(&qemu)))
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
