// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loads the programs and puts them on their hooks.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{MapData, ProgramArray};
use aya::programs::{
    CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, ProgramError,
    links::{FdLink, LinkError},
};

use super::error::{GateError, map_error, take};
use crate::sys::bpf_link;

/// The programs on the packet hooks, and which hook each is for.
const PACKET_HOOKS: [(&str, CgroupSkbAttachType); 2] = [
    ("stile_egress", CgroupSkbAttachType::Egress),
    ("stile_ingress", CgroupSkbAttachType::Ingress),
];

/// Every program that is attached, in the order in which that happens: what is parked can't
/// leave before anything is parked.
pub(crate) const ATTACHED: [&str; 6] = [
    "stile_egress",
    "stile_ingress",
    "stile_connect4",
    "stile_connect6",
    "stile_sendmsg4",
    "stile_sendmsg6",
];

/// The program arrays, and the program that each leads to while the daemon lives.
const ARRAYS: [(&str, &str); 4] = [
    ("HOLD4", "stile_hold4"),
    ("HOLD6", "stile_hold6"),
    ("ASK4", "stile_ask4"),
    ("ASK6", "stile_ask6"),
];

/// Lets this kernel take the gate's maps and programs, and gives them back: nothing is
/// attached or pinned. For `stile doctor`. Returns how many bytes of machine code the kernel has
/// made of the one for connects; 0 if it interprets them.
///
/// # Errors
/// What the kernel refuses.
pub fn try_gate() -> Result<u64, GateError> {
    let mut ebpf = Ebpf::load(super::OBJECT)?;
    load_programs(&mut ebpf)?;
    let name = "stile_connect4";
    let loaded: &mut CgroupSockAddr = program(&mut ebpf, name)?;
    let info = loaded
        .info()
        .map_err(|source| GateError::Program { name, source })?;
    Ok(u64::from(info.size_jitted()))
}

/// Loads every program.
pub(super) fn load_programs(ebpf: &mut Ebpf) -> Result<(), GateError> {
    let behind = ARRAYS.iter().map(|(_, program)| *program);
    let attempts = ATTACHED
        .iter()
        .copied()
        .filter(|name| !is_packet_hook(name));
    for name in attempts.chain(behind) {
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

fn is_packet_hook(name: &str) -> bool {
    PACKET_HOOKS.iter().any(|(hook, _)| *hook == name)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, GateError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| <&mut P>::try_from(program).ok())
        .ok_or(GateError::Missing(name))
}

/// Fills the program arrays, and takes them out of the object: as long as the daemon holds
/// these descriptors, the gate can ask.
pub(super) fn fill_arrays(ebpf: &mut Ebpf) -> Result<Vec<ProgramArray<MapData>>, GateError> {
    let arrays = ARRAYS.iter();
    arrays
        .map(|(array, target)| fill_array(ebpf, array, target))
        .collect()
}

fn fill_array(
    ebpf: &mut Ebpf,
    array: &'static str,
    name: &'static str,
) -> Result<ProgramArray<MapData>, GateError> {
    let target: &mut CgroupSockAddr = program(ebpf, name)?;
    let target = target
        .fd()
        .and_then(|fd| fd.try_clone().map_err(ProgramError::IOError))
        .map_err(|source| GateError::Program { name, source })?;
    let mut filled: ProgramArray<MapData> = take(ebpf, array)?;
    filled.set(0, &target, 0).map_err(map_error(array))?;
    Ok(filled)
}

/// Attaches one program, or replaces the one that is pinned. True if it replaced one.
pub(super) fn attach_one(
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
