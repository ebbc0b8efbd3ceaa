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
