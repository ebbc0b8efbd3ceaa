# SPDX-License-Identifier: Apache-2.0 OR MIT
# Was stile der Person sagt, die gefragt wird. Übersetzen: docs/translating.md.

## Zeiten und Listen

span-days = { $number ->
    [one] { $number } Tag
   *[other] { $number } Tage
}
span-hours = { $number ->
    [one] { $number } Stunde
   *[other] { $number } Stunden
}
span-minutes = { $number ->
    [one] { $number } Minute
   *[other] { $number } Minuten
}
span-seconds = { $number ->
    [one] { $number } Sekunde
   *[other] { $number } Sekunden
}
quoted = „{ $name }“
and-more = { $names } und { $number } weitere

## Die Frage

title = stile
heading = { $program } möchte auf { $endpoint } zugreifen
label-destination = Ziel
label-program = Programm
label-origin = Gestartet von
label-rule = Regel
label-gives = Der Code erlaubt
label-also = Öffnet auch
label-reasons = Grund der Frage
label-request = Anfrage
label-waiting = Es warten

program = { $path } (PID { $pid })
origin = { $parent }
origin-terminal = { $parent } auf { $terminal }
origin-from = { $parent } über SSH von { $from }
origin-terminal-from = { $parent } auf { $terminal }, über SSH von { $from }
origin-unknown = einem unbekannten Programm

gives-user = { $endpoint } für { $time }, alle Ihre Programme
gives-unit = { $endpoint } für { $time }, dieser Dienst
gives-process = { $endpoint } für { $time }, dieser Prozess
gives-socket = { $endpoint } für { $time }, nur diese Verbindung
gives-other = { $endpoint } für { $time }

request = { $id }, offen bis { $clock }
request-left = { $id }, offen bis { $clock } (noch { $time })
waiting = { $number ->
    [one] { $number } Verbindung
   *[other] { $number } Verbindungen
}

prompt = Code aus Ihrer App
prompt-none = Nichts eingerichtet: stile enroll
approve = Erlauben
deny = Ablehnen

error-wrong = { $number ->
    [0] Falscher Code. Vorerst kein weiterer Versuch.
    [one] Falscher Code. Noch { $number } Versuch.
   *[other] Falscher Code. Noch { $number } Versuche.
}
error-wait = Zu viele falsche Codes. Wartezeit: { $time }.

## Benachrichtigungen

hint = Führen Sie in einem Terminal `stile approve { $id }` aus.
not-enrolled = stile: { $endpoint } verlangt einen Einmalcode
not-enrolled-what = Sie haben noch keine Authenticator-App eingerichtet. Führen Sie in einem Terminal `stile enroll` aus.

expired = stile: keine Antwort zu { $endpoint }
expired-what = Die Verbindung wurde abgelehnt. Wenn Sie sich erneut verbinden, werden Sie wieder gefragt.

## Auf der Befehlszeile

cli-approved = { $number ->
    [one] erlaubt: { $endpoint } für { $time }, { $number } Verbindung geht weiter
   *[other] erlaubt: { $endpoint } für { $time }, { $number } Verbindungen gehen weiter
}
cli-more = richtig; die Regel verlangt auch { $factors }
cli-denied = { $number ->
    [one] abgelehnt: { $program } zu { $endpoint } ({ $number } Verbindung)
   *[other] abgelehnt: { $program } zu { $endpoint } ({ $number } Verbindungen)
}
cli-wrong = { $number ->
    [0] falscher Code, und vorerst kein weiterer Versuch. Warten Sie ein wenig
    [one] falscher Code; noch { $number } Versuch
   *[other] falscher Code; noch { $number } Versuche
}
cli-throttled = zu viele falsche Codes. Wartezeit: { $time }
cli-no-code = das ist kein Code
cli-no-code-again = das ist kein Code; geben Sie die Ziffern ein, die Ihre App zeigt
cli-left = nicht beantwortet; die Anfrage bleibt offen. `stile deny { $id }` beendet sie sofort
cli-too-late = zu spät: die Verbindung wurde aufgegeben, und kein Code wurde verbraucht. Verbinden Sie sich erneut
cli-not-pending = keine Ihrer offenen Anfragen hat die Nummer { $id }; vielleicht ist sie vorbei. `stile pending` zeigt alle
cli-nothing-pending = es gibt keine offene Anfrage
cli-several-pending = mehrere Anfragen sind offen. Nennen Sie eine, etwa `stile { $command } { $id }`
