// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loads the gate, or adopts the one that an earlier daemon left running.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::maps::{
    Array, HashMap as BpfHashMap, MapData, MapError, PerCpuArray, ProgramArray, RingBuf, SkStorage,
};
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, ProgramError,
    links::{FdLink, LinkError},
};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use stile_common::{
    ABI_VERSION, Attempt, Config, ENDPOINT_ANY, GrantKey, GrantValue, SocketState, fault, verdict,
};

use super::OBJECT;
use super::tables::Tables;
use crate::grant::Grant;
use crate::ids::{SocketCookie, Uid};
use crate::sys::bpf_link;

/// Maps that outlive the daemon. The program arrays do not: that they are emptied with the
/// daemon's end is how the gate knows of it.
const PINNED: [&str; 13] = [
    "PREFIX_V4",
    "PREFIX_V6",
    "CLASS",
    "FIRST",
    "SLICES",
    "GRANTS",
    "CONFIG",
    "SOCKETS",
    "HELD",
    "ATTEMPTS",
    "FLOWS",
    "UNREAD",
    "FAULTS",
];

/// The programs on the packet hooks, and which hook each is for.
const PACKET_HOOKS: [(&str, CgroupSkbAttachType); 2] = [
    ("stile_egress", CgroupSkbAttachType::Egress),
    ("stile_ingress", CgroupSkbAttachType::Ingress),
];

/// Every program that is attached, in the order in which that happens: what is parked can't
/// leave before anything is parked.
const ATTACHED: [&str; 4] = [
    "stile_egress",
    "stile_ingress",
    "stile_connect4",
    "stile_connect6",
];

/// Where the gate is put.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// Directory for the pins, on a bpffs.
    pub pins: PathBuf,
    /// The cgroup below which everything passes the gate.
    pub cgroup: PathBuf,
    /// Its id, which names the pins of the links.
    pub cgroup_id: u64,
}

/// Why the gate can't be put up, or can't be written to.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The pins can't be made.
    #[error("{}: {source}; is a bpffs mounted there? (mount -t bpf bpf /sys/fs/bpf)", path.display())]
    Pins {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An agent of another version left its gate.
    #[error(
        "{} was left by an agent with another map layout; run `stile detach` (which opens the \
         gate) before this version is started", .0.display()
    )]
    OtherVersion(PathBuf),
    /// The cgroup can't be opened.
    #[error("cgroup {}: {source}", path.display())]
    Cgroup {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel didn't take the object.
    #[error("the kernel refused the gate's maps: {0}")]
    Load(#[from] EbpfError),
    /// The kernel didn't take a program.
    #[error("the kernel refused the program {name}: {source}")]
    Program {
        /// Which.
        name: &'static str,
        /// Why.
        source: ProgramError,
    },
    /// A link could not be made, pinned or replaced.
    #[error("the program {name} can't be attached: {reason}")]
    Attach {
        /// Which.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The object lacks what this daemon needs.
    #[error("the kernel object has no {0}; it was built from other sources")]
    Missing(&'static str),
    /// A map can't be read or written.
    #[error("kernel map {name}: {source}")]
    Map {
        /// Which.
        name: &'static str,
        /// Why.
        source: MapError,
    },
}

/// The gate, as the daemon holds it.
pub struct Gate {
    // Holds the programs; the arrays refer to them.
    _programs: Ebpf,
    _arrays: [ProgramArray<MapData>; 2],
    tables: Tables,
    grants: BpfHashMap<MapData, GrantKey, GrantValue>,
    config: Array<MapData, Config>,
    slices: BpfHashMap<MapData, u64, u32>,
    held: BpfHashMap<MapData, u64, Attempt>,
    sockets: SkStorage<MapData, SocketState>,
    unread: Array<MapData, u64>,
    faults: PerCpuArray<MapData, u64>,
    adopted: bool,
}

/// The rings of a gate.
pub struct Rings {
    /// Attempts that need the daemon. Readable when there are some.
    pub attempts: RingBuf<MapData>,
    /// Connections under a grant. Never wakes anybody.
    pub flows: RingBuf<MapData>,
}

impl Gate {
    /// Puts up the gate, closed for nobody as long as its tables are empty. Where one stands
    /// already, its maps are kept and its programs are replaced without a gap.
    ///
    /// # Errors
    /// If the kernel refuses a part of it. What was attached stays attached.
    pub fn open(options: &GateOptions) -> Result<(Self, Rings), GateError> {
        let base = version_directory(options)?;
        let mut loader = EbpfLoader::new();
        loader.verifier_log_level(VerifierLogLevel::STATS);
        for name in PINNED {
            loader.map_pin_path(name, base.join(name));
        }
        let mut ebpf = loader.load(OBJECT)?;
        load_programs(&mut ebpf)?;
        let arrays = [
            hold_array(&mut ebpf, "HOLD4", "stile_hold4")?,
            hold_array(&mut ebpf, "HOLD6", "stile_hold6")?,
        ];
        let mut gate = Self {
            tables: Tables::open(&mut ebpf)?,
            grants: take(&mut ebpf, "GRANTS")?,
            config: take(&mut ebpf, "CONFIG")?,
            slices: take(&mut ebpf, "SLICES")?,
            held: take(&mut ebpf, "HELD")?,
            sockets: take(&mut ebpf, "SOCKETS")?,
            unread: take(&mut ebpf, "UNREAD")?,
            faults: take(&mut ebpf, "FAULTS")?,
            adopted: false,
            _arrays: arrays,
            _programs: ebpf,
        };
        let rings = Rings {
            attempts: take(&mut gate._programs, "ATTEMPTS")?,
            flows: take(&mut gate._programs, "FLOWS")?,
        };
        gate.mark_read()?;
        Ok((gate, rings))
    }

    /// Attaches the programs, or replaces those of an earlier daemon.
    ///
    /// # Errors
    /// If a program can't be attached; those before it are.
    pub fn attach(&mut self, options: &GateOptions) -> Result<(), GateError> {
        let base = version_directory(options)?;
        let links = base.join(format!("links-{}", options.cgroup_id));
        make_directory(&links)?;
        let cgroup = File::open(&options.cgroup).map_err(|source| GateError::Cgroup {
            path: options.cgroup.clone(),
            source,
        })?;
        for name in ATTACHED {
            self.adopted |= attach_one(&mut self._programs, name, &links.join(name), &cgroup)?;
        }
        remove_other_links(&base, &links)
    }

    /// True if the gate stood before this daemon came.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// The protected prefixes.
    pub fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Writes a grant. There is no other way to open the gate (promise S2).
    ///
    /// # Errors
    /// If the map is full; the connection then stays held.
    pub fn put_grant(&mut self, grant: &Grant) -> Result<(), GateError> {
        self.grants
            .insert(grant.key(), grant.value(), 0)
            .map_err(map_error("GRANTS"))
    }

    /// Removes a grant. Connections under it find out when the epoch moves on.
    ///
    /// # Errors
    /// If the map can't be written. A grant that isn't there is no error.
    pub fn remove_grant(&mut self, key: &GrantKey) -> Result<(), GateError> {
        ignore_absent(self.grants.remove(key)).map_err(map_error("GRANTS"))
    }

    /// All grants in the kernel.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn grants(&self) -> Result<Vec<(GrantKey, GrantValue)>, GateError> {
        self.grants
            .iter()
            .collect::<Result<_, _>>()
            .map_err(map_error("GRANTS"))
    }

    /// The attempts that wait for a word.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn held(&self) -> Result<Vec<Attempt>, GateError> {
        let held: Result<Vec<_>, _> = self.held.iter().collect();
        Ok(held
            .map_err(map_error("HELD"))?
            .into_iter()
            .map(|(_, attempt)| attempt)
            .collect())
    }

    /// Strikes an attempt out: it waits no longer.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn forget_held(&mut self, cookie: SocketCookie) -> Result<(), GateError> {
        ignore_absent(self.held.remove(&cookie.0)).map_err(map_error("HELD"))
    }

    /// Writes the settings, and moves the epoch on, so that every connection asks for its
    /// grant again. `config.epoch` is overwritten.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn configure(&mut self, mut config: Config) -> Result<(), GateError> {
        let epoch = self.config.get(&0, 0).map_err(map_error("CONFIG"))?.epoch;
        config.epoch = epoch.wrapping_add(1);
        self.config.set(0, config, 0).map_err(map_error("CONFIG"))
    }

    /// Lets every connection ask for its grant again.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn bump_epoch(&mut self) -> Result<(), GateError> {
        let config = self.config.get(&0, 0).map_err(map_error("CONFIG"))?;
        self.configure(config)
    }

    /// Says whose session a cgroup is.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn set_slice(&mut self, cgroup: u64, owner: Uid) -> Result<(), GateError> {
        self.slices
            .insert(cgroup, owner.0, 0)
            .map_err(map_error("SLICES"))
    }

    /// Lets a socket of the daemon's own send anywhere: the raw sockets of the replay, which
    /// would be gated where the daemon runs in a user's session.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn exempt(&mut self, socket: &impl std::os::fd::AsRawFd) -> Result<(), GateError> {
        let state = SocketState {
            verdict: verdict::EXEMPT,
            endpoint: ENDPOINT_ANY,
            subject: 0,
            epoch: 0,
            cut_ns: 0,
            grant: 0,
            session: 0,
            captured: 0,
            reserved: 0,
        };
        self.sockets
            .insert(socket, state, 0)
            .map_err(map_error("SOCKETS"))
    }

    /// Tells the gate that nothing is unread. To be called after the rings were drained.
    ///
    /// # Errors
    /// If the map can't be written.
    pub fn mark_read(&mut self) -> Result<(), GateError> {
        self.unread.set(0, 0, 0).map_err(map_error("UNREAD"))
    }

    /// What went wrong in the kernel so far, by [`fault`], summed over the CPUs.
    ///
    /// # Errors
    /// If the map can't be read.
    pub fn faults(&self) -> Result<[u64; fault::COUNT as usize], GateError> {
        let mut sums = [0; fault::COUNT as usize];
        for (kind, sum) in (0_u32..).zip(&mut sums) {
            let per_cpu = self.faults.get(&kind, 0).map_err(map_error("FAULTS"))?;
            *sum = per_cpu.iter().sum();
        }
        Ok(sums)
    }
}

/// Takes the gate down: every link, then every map. Protected endpoints are open afterwards.
/// Returns how many pins were removed; 0 if there was no gate.
///
/// # Errors
/// If a pin can't be removed.
pub fn detach(pins: &Path) -> Result<usize, GateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GateError::Pins { path, source }
    };
    let versions = match fs::read_dir(pins) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(pins)(error)),
    };
    let mut removed = 0;
    for version in versions {
        let version = version.map_err(failed(pins))?.path();
        removed += remove_tree(&version).map_err(failed(&version))?;
    }
    fs::remove_dir(pins).map_err(failed(pins))?;
    Ok(removed)
}

/// Removes a directory of pins, directories of links first.
fn remove_tree(directory: &Path) -> io::Result<usize> {
    let mut entries: Vec<_> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(|path| !path.is_dir());
    let mut removed = 0;
    for path in entries {
        if path.is_dir() {
            removed += remove_tree(&path)?;
        } else {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    fs::remove_dir(directory)?;
    Ok(removed)
}

/// The directory of this version's pins; refuses if another version has left some.
fn version_directory(options: &GateOptions) -> Result<PathBuf, GateError> {
    let own = format!("v{ABI_VERSION}");
    make_directory(&options.pins)?;
    let failed = |source| GateError::Pins {
        path: options.pins.clone(),
        source,
    };
    for entry in fs::read_dir(&options.pins).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name() != *own {
            return Err(GateError::OtherVersion(entry.path()));
        }
    }
    let base = options.pins.join(own);
    make_directory(&base)?;
    Ok(base)
}

fn make_directory(path: &Path) -> Result<(), GateError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(GateError::Pins {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn load_programs(ebpf: &mut Ebpf) -> Result<(), GateError> {
    for name in [
        "stile_connect4",
        "stile_connect6",
        "stile_hold4",
        "stile_hold6",
    ] {
        let program: &mut CgroupSockAddr = program(ebpf, name)?;
        program
            .load()
            .map_err(|source| GateError::Program { name, source })?;
    }
    for (name, _) in PACKET_HOOKS {
        let program: &mut CgroupSkb = program(ebpf, name)?;
        program
            .load()
            .map_err(|source| GateError::Program { name, source })?;
    }
    Ok(())
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, GateError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| <&mut P>::try_from(program).ok())
        .ok_or(GateError::Missing(name))
}

/// Fills a program array, and takes it out of the object: as long as the daemon holds this
/// one descriptor, the gate can ask.
fn hold_array(
    ebpf: &mut Ebpf,
    array: &'static str,
    hold: &'static str,
) -> Result<ProgramArray<MapData>, GateError> {
    let target: &mut CgroupSockAddr = program(ebpf, hold)?;
    let target = target
        .fd()
        .and_then(|fd| fd.try_clone().map_err(ProgramError::IOError))
        .map_err(|source| GateError::Program { name: hold, source })?;
    let mut filled: ProgramArray<MapData> = take(ebpf, array)?;
    filled.set(0, &target, 0).map_err(map_error(array))?;
    Ok(filled)
}

/// Attaches one program, or replaces the one that is pinned. True if it replaced one.
fn attach_one(
    ebpf: &mut Ebpf,
    name: &'static str,
    pin: &Path,
    cgroup: &File,
) -> Result<bool, GateError> {
    let failed = |reason: String| GateError::Attach { name, reason };
    let refused = |error: ProgramError| {
        failed(format!(
            "{error}: {:?}",
            std::error::Error::source(&error).map(ToString::to_string)
        ))
    };
    if pin.exists() {
        let fd = match ebpf.program(name) {
            Some(program) => program.fd().map_err(refused)?,
            None => return Err(GateError::Missing(name)),
        };
        bpf_link::replace_program(pin, fd.as_fd()).map_err(|error| failed(error.to_string()))?;
        return Ok(true);
    }
    let unlinked = |error: LinkError| failed(error.to_string());
    let packets = PACKET_HOOKS.iter().find(|(hook, _)| *hook == name);
    let link: FdLink = if let Some((_, direction)) = packets {
        let packets: &mut CgroupSkb = program(ebpf, name)?;
        let id = packets
            .attach(cgroup, *direction, CgroupAttachMode::Single)
            .map_err(refused)?;
        packets
            .take_link(id)
            .map_err(refused)?
            .try_into()
            .map_err(unlinked)?
    } else {
        let connect: &mut CgroupSockAddr = program(ebpf, name)?;
        let id = connect
            .attach(cgroup, CgroupAttachMode::Single)
            .map_err(refused)?;
        connect
            .take_link(id)
            .map_err(refused)?
            .try_into()
            .map_err(unlinked)?
    };
    link.pin(pin).map_err(|error| failed(error.to_string()))?;
    Ok(false)
}

/// Removes links to another cgroup, after those to this one stand.
fn remove_other_links(base: &Path, own: &Path) -> Result<(), GateError> {
    let failed = |source| GateError::Pins {
        path: base.to_owned(),
        source,
    };
    for entry in fs::read_dir(base).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && path != own {
            remove_tree(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// Takes a map out of the object.
pub(super) fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, GateError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(GateError::Missing(name))?;
    M::try_from(map).map_err(map_error(name))
}

pub(super) fn map_error(name: &'static str) -> impl Fn(MapError) -> GateError {
    move |source| GateError::Map { name, source }
}

/// Turns "there was nothing to remove" into success.
pub(super) fn ignore_absent(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}
