// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The language of policies as a JSON Schema, for editors and for the reference. These types are
//! only described, never read: [`super::read`] reads, and a test holds the two together.

#![expect(dead_code, reason = "schemars sees the fields, and nobody else")]

use schemars::{JsonSchema, schema_for};

use super::service::SERVICES;

/// The schema of a policy file.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schema_for!(File).to_value();
    // The services are listed once, where they are.
    let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
    if let Some(service) = schema.pointer_mut("/$defs/Endpoint/properties/service") {
        service["enum"] = serde_json::json!(names);
    }
    schema
}

/// A file of a policy: `/etc/stile/policy.d/*.toml`. All files together are one policy, in the
/// order of their names; a folder `NAME.d` is read in its place.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// What counts where a rule or an endpoint says nothing. Once in the whole policy.
    defaults: Option<Defaults>,
    /// What is protected. A destination belongs to the first endpoint that has its address, port and protocol.
    endpoint: Option<Vec<Endpoint>>,
    /// Groups of people with a time and factors of their own.
    role: Option<Vec<Role>>,
    /// Who may reach what, and how. The first rule that fits decides; where none does, nobody gets through.
    rule: Option<Vec<Rule>>,
    /// What is unusual about a connection.
    risk: Option<Vec<Risk>>,
    /// What comes of so many points of risk.
    threshold: Option<Vec<Threshold>>,
    /// Who may get through in an emergency, past the rules.
    break_glass: Option<Vec<BreakGlass>>,
}

/// What counts where a rule or an endpoint says nothing.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Defaults {
    /// `enforce` (the default), or `observe`: everybody gets through, also without the agent, and what would have happened is written down.
    mode: Option<Mode>,
    /// How long a proof is good: 1s to 24h.
    ttl: Option<Duration>,
    /// What counts as proof; any one of them.
    factors: Option<Vec<Factor>>,
    /// The same as a level, as in a rule.
    assurance: Option<u8>,
    /// The same as several factors together, as in a rule.
    all: Option<Vec<Factor>>,
    /// Whether a recovery code stands in for `"totp"`.
    recovery: Option<bool>,
    /// How far a proof reaches.
    scope: Option<Scope>,
    /// What happens to a connection that nothing lets through yet.
    first: Option<First>,
    /// How long a connection waits at most: 1s to 10m.
    max_hold: Option<Duration>,
    /// What becomes of live connections when their grant expires.
    on_expiry: Option<OnExpiry>,
    /// How long before the end the terminal of a live connection is told: 1s to 24h.
    warn: Option<Duration>,
    /// What becomes of connections that are older than their protection.
    existing: Option<Existing>,
    /// The time zone of `hours` and `days`; this host's if nothing is said.
    tz: Option<TimeZone>,
}

/// Protected addresses and ports.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    /// 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'. No other endpoint may have it.
    name: String,
    /// Addresses, networks, names like `db1.example.com`, and `*.db.example.com` for all names below one. A service that is always at the same place needs none.
    hosts: Option<Vec<String>>,
    /// Ports as numbers, ranges like `"6432-6439"`.
    ports: Option<Vec<Port>>,
    /// Instead of `ports` and `protocol`: a service with its usual ones.
    service: Option<String>,
    /// `tcp` (the default), `udp`, or `any`: every protocol that has ports.
    protocol: Option<Protocol>,
    /// `close` (the default) connections that are older than their protection, unless their user has a grant; or `keep` them.
    existing: Option<Existing>,
}

/// A group of people with a time and factors of their own. Rules name it as `@name`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Role {
    /// 1 to 64 printable characters. No other role may have it.
    name: String,
    /// Who has it: as in a rule, but no other roles.
    users: Vec<User>,
    /// How long their proof is good, where the rule itself doesn't say: 1s to 24h.
    ttl: Option<Duration>,
    /// What counts as their proof, where the rule itself doesn't say.
    factors: Option<Vec<Factor>>,
    /// The same as a level, as in a rule.
    assurance: Option<u8>,
    /// The same as several factors together, as in a rule.
    all: Option<Vec<Factor>>,
    /// Whether a recovery code stands in for `"totp"`.
    recovery: Option<bool>,
}

/// Who may reach what, and how.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// 1 to 64 printable characters, shown in prompts and in the audit log. No other rule may have it.
    name: String,
    /// Names of endpoints, or `["*"]` for all of them.
    endpoints: Vec<String>,
    /// Names, groups (`"%group"`), roles (`"@role"`), uids (1000, `"1000-1999"`), `"*"` for everybody; and exceptions (`"!name"`, `"!%group"`, `"!1000-1999"`).
    users: Vec<User>,
    /// Programs that it speaks of, by the path of the file that runs; all if it isn't there.
    programs: Option<Vec<Program>>,
    /// When it counts: a table of conditions that all hold, or a list of such tables of which one does. Always if it isn't there.
    when: Option<OneOrMany<Condition>>,
    /// `allow` lets through, `step-up` asks for proof, `deny` refuses, `observe` lets through and writes down what the later rules would have done.
    action: Action,
    /// In which realm the proof counts: rules of one realm share it. The rule's own name if it isn't there.
    realm: Option<String>,
    /// What counts as proof: any one of them, or one that is worth more than the weakest of them. `["totp"]` by default.
    factors: Option<Vec<Factor>>,
    /// What counts as proof, instead of `factors`: any factor that is worth so much: 1 to 3.
    assurance: Option<u8>,
    /// What counts as proof, instead of `factors`: each of these together; two or more.
    all: Option<Vec<Factor>>,
    /// Whether a recovery code stands in for `"totp"`; true by default.
    recovery: Option<bool>,
    /// The reason to ask for; it is kept in the audit log.
    reason: Option<Reason>,
    /// How long a proof is good, or an `allow` holds: 1s to 24h. 15m by default; an `allow` rule of scope "user" has to say it.
    ttl: Option<Duration>,
    /// How far a proof reaches; "user" by default. Others than "user" are for endpoints over TCP.
    scope: Option<Scope>,
    /// `hold` (the default) lets a connection wait, `reject` refuses it and lets a later one through.
    first: Option<First>,
    /// How long a connection waits at most: 1s to 10m, 60s by default.
    max_hold: Option<Duration>,
    /// `close` (the default) ends live connections with their grant, `keep` leaves them.
    on_expiry: Option<OnExpiry>,
    /// How long before the end the terminal of a live connection is told; shorter than `ttl`. Not at all by default.
    warn: Option<Duration>,
}

/// Conditions that all have to hold. One that can't be told counts as the stricter case.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Condition {
    /// Hours of the day like `"08:00-19:00"`; over midnight as `"22:00-06:00"`; `"24:00"` may be an end.
    hours: Option<OneOrMany<String>>,
    /// Days like `"mon"`, and spans like `"mon..fri"`. A span of hours over midnight belongs to the day on which it begins.
    days: Option<Vec<String>>,
    /// The time zone of both.
    tz: Option<TimeZone>,
    /// Whether the login session came over the network.
    remote: Option<bool>,
    /// Where it came from: addresses and networks.
    remote_address: Option<Vec<String>>,
    /// The type of the session.
    session: Option<Vec<SessionType>>,
    /// Its seat, as `"seat0"`.
    seat: Option<Vec<String>>,
    /// Whether the process has a terminal.
    tty: Option<bool>,
    /// The systemd unit that it runs in; `*` stands for any characters.
    unit: Option<Vec<String>>,
    /// Whether the user has not got through with this program before.
    program_first_seen: Option<bool>,
    /// Whether the user has not got through to this endpoint before.
    destination_first_seen: Option<bool>,
    /// Whether the user has not got through from this remote address before.
    address_first_seen: Option<bool>,
    /// Whether the user hardly ever works at this hour.
    unusual_hour: Option<bool>,
    /// How many wrong answers the user has given lately.
    recent_failures: Option<AtLeast>,
    /// How many connections to the endpoint the user has tried lately, this one included.
    connections: Option<AtLeast>,
}

/// So many of something within a time.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct AtLeast {
    /// How many: 1 to 10000.
    at_least: u32,
    /// In how long: 1s to 24h.
    within: Duration,
}

/// Something unusual: it adds points where it holds, or can't be told.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Risk {
    /// 1 to 64 printable characters, shown in prompts and in the audit log.
    name: String,
    /// For which endpoints; all if it isn't there.
    endpoints: Option<Vec<String>>,
    /// How many points: 1 to 1000.
    points: u32,
    /// When: as in a rule.
    when: OneOrMany<Condition>,
}

/// What comes of so many points. Each threshold that is reached counts; it only makes a rule stricter.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Threshold {
    /// From how many points on: 1 to 1000.
    points: u32,
    /// `step-up` (the default) asks for proof, `deny` refuses.
    action: Option<ThresholdAction>,
    /// How long the proof is good at most.
    ttl: Option<Duration>,
    /// What counts as proof.
    factors: Option<Vec<Factor>>,
    /// The same as a level, as in a rule.
    assurance: Option<u8>,
    /// The same as several factors together, as in a rule.
    all: Option<Vec<Factor>>,
    /// Whether a recovery code stands in for `"totp"`.
    recovery: Option<bool>,
}

/// Who may get through in an emergency, past the rules, by `stile break-glass`.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct BreakGlass {
    /// Names of endpoints, each written out.
    endpoints: Vec<String>,
    /// Users and groups as in a rule, and exceptions; neither roles nor `"*"`.
    users: Vec<User>,
    /// For how long: 1s to 4h, 1h by default.
    ttl: Option<Duration>,
    /// How often each user may in 24 hours: 1 to 10, once by default.
    per_day: Option<u8>,
    /// What counts as proof: any one of them. Any factor that the user has by default.
    factors: Option<Vec<Factor>>,
    /// The same as a level, as in a rule.
    assurance: Option<u8>,
    /// The same as several factors together, as in a rule.
    all: Option<Vec<Factor>>,
    /// Whether a recovery code stands in for `"totp"`; true by default.
    recovery: Option<bool>,
    /// More about the reason, which is always asked for and has at least 10 characters.
    reason: Option<Reason>,
}

/// A reason of at most 200 characters that a user gives.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Whether nobody gets through without; true by default.
    required: Option<bool>,
    /// What the whole of it looks like: a regular expression of at most 256 bytes, as `"[A-Z]+-[0-9]+"`.
    pattern: Option<String>,
    /// What it is called where it is asked for, as `"ticket"`: 1 to 32 printable characters.
    prompt: Option<String>,
}

/// A program by its path, or a table with its content's hash.
#[derive(JsonSchema)]
#[serde(untagged)]
enum Program {
    /// The absolute path of the file, without symbolic links; `*` stands for a part of one name.
    Path(String),
    /// The same, and what is in the file.
    Table(ProgramTable),
}

/// A program, and what is in its file.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProgramTable {
    /// The absolute path of the file.
    path: String,
    /// Its SHA-256 as 64 hexadecimal digits.
    sha256: Option<String>,
}

/// One, or a list.
#[derive(JsonSchema)]
#[serde(untagged)]
enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

/// A port, or a range like `"6432-6439"`.
#[derive(JsonSchema)]
#[serde(untagged)]
enum Port {
    /// A port.
    One(u16),
    /// A range.
    Range(String),
}

/// A name, `"%group"`, `"@role"`, uid, `"1000-1999"` or `"*"`; with `!` an exception.
#[derive(JsonSchema)]
#[serde(untagged)]
enum User {
    /// A uid.
    Uid(u32),
    /// Anything else.
    Name(String),
}

/// How somebody proves who they are: `"totp"`, `"recovery"`, or `"pam:SERVICE"` with a service of PAM that the agent's settings name.
#[derive(JsonSchema)]
#[serde(transparent)]
struct Factor(#[schemars(regex(pattern = r"^(totp|recovery|pam:stile(-[a-z0-9._-]+)?)$"))] String);

/// A duration like `"90s"`, `"15m"` or `"1h30m"`.
#[derive(JsonSchema)]
#[serde(transparent)]
struct Duration(String);

/// A name of the IANA time zone database, as `"Europe/Berlin"`.
#[derive(JsonSchema)]
#[serde(transparent)]
struct TimeZone(String);

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        enum $name { $($(#[$doc])* $word),+ }
    };
}

words!(
    /// Whether a policy is enforced.
    Mode { Enforce, Observe }
);
words!(
    /// What a rule does.
    Action { Allow, StepUp, Deny, Observe }
);
words!(
    /// What a threshold does.
    ThresholdAction { StepUp, Deny }
);
words!(
    /// How far a proof reaches.
    Scope {
        /// One connection.
        Socket,
        /// The connections of the process.
        Process,
        /// Those of the login session or service.
        Unit,
        /// Those of the user.
        User,
    }
);
words!(
    /// What happens to a connection that nothing lets through yet.
    First { Hold, Reject }
);
words!(
    /// What becomes of live connections when their grant expires.
    OnExpiry { Close, Keep }
);
words!(
    /// What becomes of connections that are older than their protection.
    Existing { Close, Keep }
);
words!(
    /// Which transport protocols are protected.
    Protocol { Tcp, Udp, Any }
);
words!(
    /// The type of a login session, as logind has it.
    SessionType { Tty, X11, Wayland, Web, Unspecified }
);

#[cfg(test)]
mod tests;
