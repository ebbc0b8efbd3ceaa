// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gate needs of a machine, and what it means if that lacks: for the daemon before it
//! starts ([`super::preflight()`]), and for [`crate::doctor`].

/// Something that a machine has, or lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each is for")]
pub enum Feature {
    Kernel,
    Capabilities,
    PidNamespace,
    Cgroup2,
    Bpffs,
    Btf,
    RingBuffer,
    LpmTrie,
    SocketStorage,
    ProgramArray,
    ConnectHook,
    PacketHook,
    Links,
    Programs,
    RawSockets,
    DestroyTcp,
    DestroyUdp,
    BpfJit,
    Lockdown,
    Lsms,
    Mptcp,
    FastOpen,
    IoUring,
    UdpLite,
    Sctp,
    Dccp,
    UserNamespaces,
    BootClock,
    WallClock,
    Pins,
    Attached,
    Daemon,
}

/// How much it matters that something lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The gate can't stand without it.
    Vital,
    /// It can.
    Useful,
}

/// What it means to the gate.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) feature: Feature,
    /// A stable name, for programs.
    pub(crate) name: &'static str,
    pub(crate) weight: Weight,
    /// What is lost without it.
    pub(crate) lost: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

macro_rules! needs {
    ($($feature:ident $name:literal $weight:ident, $lost:literal, $remedy:literal;)+) => {
        /// Everything, in the order in which people are told.
        pub(crate) const NEEDS: &[Need] = &[$(Need {
            feature: Feature::$feature,
            name: $name,
            weight: Weight::$weight,
            lost: $lost,
            remedy: $remedy,
        }),+];
    };
}

needs! {
    Kernel "kernel" Vital,
        "the gate needs ring buffers and socket storage in its hooks",
        "run Linux 5.10 or newer";
    Capabilities "capabilities" Vital,
        "the kernel takes the gate from nobody else",
        "run stiled as root, or by its systemd unit";
    PidNamespace "pid-namespace" Vital,
        "the kernel's process ids would name other processes here",
        "run stiled outside of containers, or with --pid=host";
    Cgroup2 "cgroup2" Vital,
        "the gate has nothing to attach to",
        "mount one: mount -t cgroup2 none /sys/fs/cgroup";
    Bpffs "bpffs" Vital,
        "the gate would end with the daemon",
        "mount one: mount -t bpf bpf /sys/fs/bpf";
    Btf "btf" Vital,
        "the gate can't remember what it decided for a socket",
        "run a kernel with CONFIG_DEBUG_INFO_BTF=y";
    RingBuffer "ring-buffer" Vital,
        "the gate can't report attempts",
        "run Linux 5.8 or newer with CONFIG_BPF_SYSCALL=y";
    LpmTrie "lpm-trie" Vital,
        "the gate can't look addresses up",
        "run a kernel with CONFIG_BPF_SYSCALL=y";
    SocketStorage "socket-storage" Vital,
        "the gate can't remember what it decided for a socket",
        "run Linux 5.2 or newer with CONFIG_NET=y and CONFIG_BPF_SYSCALL=y";
    ProgramArray "program-array" Vital,
        "the gate can't notice that the daemon has ended",
        "run a kernel with CONFIG_BPF_SYSCALL=y";
    ConnectHook "connect-hook" Vital,
        "connects can't be held",
        "run Linux 5.10 or newer with CONFIG_CGROUP_BPF=y";
    PacketHook "packet-hook" Vital,
        "packets can't be held back, and connections can't be cut",
        "run Linux 5.10 or newer with CONFIG_CGROUP_BPF=y";
    Links "links" Vital,
        "the gate would end with the daemon",
        "run Linux 5.7 or newer";
    Programs "gate-programs" Vital,
        "the gate can't stand: this kernel's verifier refuses it",
        "report it with the text above and the kernel's version";
    RawSockets "raw-sockets" Useful,
        "approved connections go on with their next retransmission only, up to seconds later",
        "give the daemon CAP_NET_RAW";
    DestroyTcp "sock-destroy-tcp" Useful,
        "refused and expired connections are not ended: their clients wait for a timeout",
        "run a kernel with CONFIG_INET_TCP_DIAG and CONFIG_INET_DIAG_DESTROY=y";
    DestroyUdp "sock-destroy-udp" Useful,
        "connected UDP sockets whose grant has ended go silent instead of failing",
        "run a kernel with CONFIG_INET_UDP_DIAG and CONFIG_INET_DIAG_DESTROY=y";
    BpfJit "bpf-jit" Useful,
        "each connect and each packet costs more time",
        "sysctl net.core.bpf_jit_enable=1, on a kernel with CONFIG_BPF_JIT=y";
    Lockdown "lockdown" Useful,
        "how far this kernel is locked down can't be told",
        "mount securityfs: mount -t securityfs none /sys/kernel/security";
    Lsms "security-modules" Useful,
        "what else confines processes here can't be told",
        "mount securityfs: mount -t securityfs none /sys/kernel/security";
    Mptcp "mptcp" Useful, "", "";
    FastOpen "tcp-fast-open" Useful, "", "";
    IoUring "io-uring" Useful, "", "";
    UdpLite "udp-lite" Useful, "", "";
    Sctp "sctp" Useful,
        "no connect hook sees it: what it sends to endpoints of its ports is dropped, never held",
        "keep the module from being loaded if nothing needs it: install sctp /bin/false";
    Dccp "dccp" Useful,
        "no connect hook sees it: what it sends to endpoints of its ports is dropped, never held",
        "keep the module from being loaded if nothing needs it: install dccp /bin/false";
    UserNamespaces "user-namespaces" Useful, "", "";
    BootClock "boot-clock" Vital,
        "grants would not end in time",
        "report it with the kernel's version";
    WallClock "wall-clock" Useful,
        "one-time codes of authenticator apps are wrong",
        "set the clock: timedatectl set-ntp true";
    Pins "pins" Vital,
        "this version doesn't start over another version's gate",
        "open the gate with `stile detach`, then start stiled";
    Attached "attached" Useful,
        "a part of the gate isn't there: what that part holds back gets through",
        "restart stiled, which attaches the rest: systemctl restart stiled";
    Daemon "daemon" Useful,
        "nobody can answer: attempts are refused if a gate is pinned, and nothing is protected if not",
        "systemctl start stiled; its log says why it doesn't: journalctl -u stiled";
}

/// What is lost without a feature, and what to do about it.
pub(super) fn lost_without(feature: Feature) -> (&'static str, &'static str) {
    let need = NEEDS.iter().find(|need| need.feature == feature);
    need.map_or(("", ""), |need| (need.lost, need.remedy))
}
