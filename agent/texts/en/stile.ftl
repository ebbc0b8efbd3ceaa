# SPDX-License-Identifier: Apache-2.0 OR MIT
# What stile says to the person who is asked. How to translate it: docs/translating.md.

## Times and lists

span-days = { $number ->
    [one] { $number } day
   *[other] { $number } days
}
span-hours = { $number ->
    [one] { $number } hour
   *[other] { $number } hours
}
span-minutes = { $number ->
    [one] { $number } minute
   *[other] { $number } minutes
}
span-seconds = { $number ->
    [one] { $number } second
   *[other] { $number } seconds
}
# A name that has spaces in it.
quoted = “{ $name }”
# The end of a list that is too long to be shown; $names are those before.
and-more = { $names } and { $number } more

## The question

title = stile
heading = { $program } wants to reach { $endpoint }
label-destination = Destination
label-program = Program
label-origin = Started by
label-rule = Rule
label-gives = A code gives
# Where no code is asked for, but what a service of PAM asks.
label-answer-gives = An answer gives
label-also = It also opens
label-reasons = Asked because
label-request = Request
label-waiting = Waiting
label-endpoints = Endpoints

program = { $path } (pid { $pid })
# $from is an address, $terminal is like pts/3, $parent is a program's name.
origin = { $parent }
origin-terminal = { $parent } on { $terminal }
origin-from = { $parent } from ssh { $from }
origin-terminal-from = { $parent } on { $terminal }, from ssh { $from }
origin-unknown = an unknown program

# $time is a span from above.
gives-user = { $endpoint } for { $time }, all your programs
gives-unit = { $endpoint } for { $time }, this unit
gives-process = { $endpoint } for { $time }, this process
gives-socket = { $endpoint } for { $time }, this connection only
gives-other = { $endpoint } for { $time }

# $clock is like 14:05:00.
request = { $id }, open until { $clock }
request-left = { $id }, open until { $clock } ({ $time } left)
waiting = { $number ->
    [one] { $number } connection
   *[other] { $number } connections
}

prompt = Code from your app
prompt-none = Nothing is enrolled: run stile enroll
approve = Approve
deny = Deny

error-wrong = { $number ->
    [0] Wrong code. No tries are left for now.
    [one] Wrong code. { $number } try left.
   *[other] Wrong code. { $number } tries left.
}
error-wrong-answer = { $number ->
    [0] Wrong answer. No tries are left for now.
    [one] Wrong answer. { $number } try left.
   *[other] Wrong answer. { $number } tries left.
}
error-wait = Too many wrong codes. Try again in { $time }.

## What the agent says of programs and sessions. In English these are its very words.

spoken-process-gone = the process that connected has ended
spoken-process-unseen = its process can't be looked at any more
spoken-memory = it runs from memory, not from a file
spoken-namespace = it runs in a user namespace, where it can pass for any program
spoken-elsewhere = it runs in another view of the file system, as in a container
spoken-manager = it runs in the user's service manager, not in a login session
spoken-no-unit = it runs in no unit that systemd has named
spoken-no-origin = where the session came from is not known
spoken-no-session = it runs in { $cgroup }, not in a login session
spoken-session-ended = session { $id } has ended; what is left of it may be used from elsewhere
spoken-session-nowhere = session { $id } has neither a seat nor a host that it came from
spoken-exited = process { $pid } has exited
spoken-habits = the user's habits are not known yet: { $hours } hours on { $days } days
spoken-history-short = not all that happened within this time is known
spoken-deleted = { $path } was deleted since it was started
spoken-replaced = { $path } was replaced since it was started
spoken-owner = { $path } belongs to uid { $uid }, not to root
spoken-writable = { $path } can be written by others than root (mode { $mode })
spoken-fuse = { $path } is on a FUSE file system: who serves it says what is in it
spoken-nosuid = { $path } is on a file system that is mounted nosuid, as those of users are

## Reasons: why somebody wants through. $name is what the policy calls it, as ticket.

reason = Reason
reason-named = Reason: { $name }
reason-like = Reason, like { $pattern }
reason-named-like = Reason: { $name }, like { $pattern }
error-reason = This is no such reason.
next = Next
cli-reason = { $what }
cli-reason-optional = { $what } (may be left empty)
cli-reason-missing = a reason is asked for, and `--reason` gives one. { $what }
cli-reason-unlike = the reason doesn't fit: { $what }
cli-reason-long = the reason is too long: { $number } characters at most
cli-reason-short = the reason is too short: { $number } characters at least
cli-reason-control = the reason has characters that can't be shown

## Notifications

hint = Run `stile approve { $id }` in a terminal.
not-enrolled = stile: { $endpoint } needs a one-time code
not-enrolled-what = You have no authenticator yet. Run `stile enroll` in a terminal.

# The title of what a service of PAM tells, as to touch a key.
told = stile: { $endpoint }
expired = stile: nobody answered for { $endpoint }
expired-what = The connection was refused. Connect again, and you are asked again.

## On the command line. Commands between ` and ` stay as they are.

cli-approved = { $number ->
    [one] approved: { $endpoint } for { $time }, { $number } connection goes on
   *[other] approved: { $endpoint } for { $time }, { $number } connections go on
}
cli-more = right; the rule also asks for { $factors }
cli-denied = { $number ->
    [one] denied: { $program } to { $endpoint } ({ $number } connection)
   *[other] denied: { $program } to { $endpoint } ({ $number } connections)
}
cli-wrong = { $number ->
    [0] wrong code, and no tries are left for now. Wait a little
    [one] wrong code; { $number } try is left
   *[other] wrong code; { $number } tries are left
}
cli-no-emergency = there is no endpoint that you may reach in an emergency
cli-emergency = Emergency: opens { $endpoint } for { $time }, past the rules
cli-emergency-alarm = This is recorded and raises an alarm.
cli-emergency-left = { $number ->
    [one] { $number } time is left within 24 hours
   *[other] { $number } times are left within 24 hours
}
cli-realm = Realm { $realm }
cli-up-to = access for up to { $time }
cli-elevated = elevated: { $realm } for up to { $time }
cli-not-elevated = no code, so nothing has changed
cli-no-realm = no rule asks you for proof
cli-no-such-realm = no rule asks you for proof in realm { $realm }; `stile realms` lists yours
cli-several-realms = there are several realms. Name one, as in `stile elevate { $realm }`
cli-throttled = too many wrong codes. Try again in { $time }
cli-no-code = that is no code
cli-no-code-again = that is no code; type the digits that your app shows
cli-left = not answered; it waits on. `stile deny { $id }` ends it at once
cli-too-late = too late: the connection was given up, and no code was used. Connect again
cli-not-pending = no challenge { $id } of yours is pending; it may be over. `stile pending` lists them
cli-nothing-pending = nothing is pending
cli-several-pending = several are pending. Name one, as in `stile { $command } { $id }`

## What the agent and the bus refuse. In English these are their very words.

refused-no-challenge = no such challenge of yours; `stile pending` lists them
refused-no-grant = no such grant of yours; `stile grants` lists them
refused-no-realm = no rule asks you for proof in this realm; `stile realms` lists yours
refused-not-beforehand = the rules of this realm ask each program or connection by itself; `stile run -- COMMAND` asks for one program
refused-not-enrolled = you have no authenticator enrolled; run `stile enroll`
refused-enrolled = uid { $uid } is enrolled already; `stile factor add` adds a device, and an administrator replaces a lost one with `stile enroll --user { $uid }`
refused-needs-code = this needs a code of a factor that you have
refused-wrong-wait = wrong code; the next try has to wait
refused-wrong-one = wrong code; 1 try left
refused-wrong = wrong code; { $number } tries left
refused-throttled = too many wrong codes; the next try is looked at in { $seconds } s
refused-no-factor = { $factor } can't be used here; `stile pending --json` and `stile factor list` show what can
refused-not-taken = { $factor } doesn't help here: the rule asks for { $proof }
refused-no-conversation = no such conversation of yours; begin again
refused-no-recovery = you have no recovery codes left that count here; `stile factor list` shows what you have
refused-locked = you are locked out after too many wrong codes; ask an administrator
refused-no-enrollment = no enrollment is waiting to be confirmed; run `stile enroll` again
refused-not-permitted = only an administrator may do this
refused-busy = too many requests at once; try again in a moment
refused-storage = nothing can be granted now: { $why }
refused-kernel = the kernel refused: { $why }
refused-no-emergency = there is no such endpoint that you may reach in an emergency; `stile break-glass` lists yours
refused-emergencies = that is as often as you may in 24 hours ({ $number }); the next one is possible in { $seconds } s
refused-reason = a reason is asked for ({ $what }); `--reason` gives one
refused-no-agent = stiled isn't running. Start it with `systemctl start stiled`
refused-no-answer = stiled didn't answer: { $why }. See `systemctl status stiled`
refused-stopping = stiled is about to end; try again in a moment

## Enrolling an authenticator app

enroll-scan = Scan this with your authenticator app
enroll-type = or type this secret (time based, TOTP):
enroll-confirm = Type the code that the app shows, within { $time }, to confirm it.
enroll-counts = This secret counts once you have confirmed it.
enroll-replaces = You are enrolled already. Once confirmed, this secret replaces the other one.
enroll-replaces-of = Once confirmed, this secret replaces any other that { $user } has.
enroll-device-replaces = Once confirmed, this device takes the place of all others.
enroll-device-counts = This device counts once you have confirmed it.
enroll-clock = Is this computer's clock right?
enroll-done = enrolled: { $user }
enroll-clear = The secret is still on this screen: clear it before others see it.
# $why is one of the following, or that is no code.
enroll-not = { $why }, so the secret doesn't count. Run `stile enroll` again
enroll-none = no code was given
enroll-late = too late
enroll-more = the agent asks for more

## stile top. Keys stay as they are; so do heads of columns no wider than these.

top-all = all users
top-own = your own
top-keys = ? help  q quit
top-help-pane = next pane
top-help-choose = choose
top-help-approve = approve, with a code
top-help-deny = deny
top-help-revoke = revoke one, all
top-help-leave = leave a question
top-help-help = this help
top-help-quit = quit
top-back = any key goes back
top-code = code:
top-send = Enter sends it, Esc leaves
top-challenge = Challenge { $id }: { $time } left
top-to = to { $endpoint }
top-pending = Waiting for an answer
top-grants = Grants
top-recent = Last decisions
top-no-pending = nothing is pending
top-no-grants = no grant is live
top-no-recent = nothing was decided yet
top-over = that is over
top-approved = { $number ->
    [one] approved for { $time }, { $number } connection goes on
   *[other] approved for { $time }, { $number } connections go on
}
top-only = only { $user } can answer that
top-reason = a reason is asked for: run `stile approve { $id }`
top-deny = Deny? y/n  { $program } to { $endpoint }
top-revoke = { $number ->
    [one] Revoke? y/n  { $endpoint }, { $number } connection
   *[other] Revoke? y/n  { $endpoint }, { $number } connections
}
top-revoke-all = { $number ->
    [one] Revoke all? y/n  { $number } grant
   *[other] Revoke all? y/n  { $number } grants
}
top-revoke-everybody = { $number ->
    [one] Revoke all? y/n  { $number } grant of everybody
   *[other] Revoke all? y/n  { $number } grants of everybody
}
top-head-left = LEFT
top-head-time = TIME
top-head-user = USER
top-head-endpoint = ENDPOINT
top-head-destination = DESTINATION
top-head-program = PROGRAM
top-head-scope = SCOPE
top-head-by = BY
top-head-conns = CONNS
top-head-rule = RULE
top-head-outcome = OUTCOME
top-head-why = WHY
top-denied = denied
top-revoked = { $number ->
    [one] revoked: { $number } grant
   *[other] revoked: { $number } grants
}
top-no-terminal = stdout is no terminal to draw on. Programs use `stile pending --json`
