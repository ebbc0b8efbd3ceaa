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
label-endpoints = Endpunkte

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

## Was der Agent über Programme und Sitzungen sagt

spoken-process-gone = der Prozess, der die Verbindung aufbaut, ist beendet
spoken-process-unseen = sein Prozess ist nicht mehr zu sehen
spoken-memory = es läuft aus dem Speicher, nicht aus einer Datei
spoken-namespace = es läuft in einem User-Namespace und kann sich dort als jedes Programm ausgeben
spoken-elsewhere = es läuft in einer anderen Sicht des Dateisystems, etwa in einem Container
spoken-manager = es läuft im Dienstmanager des Benutzers, nicht in einer Anmeldesitzung
spoken-no-unit = es läuft in keiner Unit, die systemd benannt hat
spoken-no-origin = woher die Sitzung kam, ist nicht bekannt
spoken-no-session = es läuft in { $cgroup }, nicht in einer Anmeldesitzung
spoken-session-ended = Sitzung { $id } ist beendet; was von ihr übrig ist, kann von anderswo benutzt werden
spoken-session-nowhere = Sitzung { $id } hat weder einen Arbeitsplatz noch einen Rechner, von dem sie kam
spoken-exited = Prozess { $pid } ist beendet
spoken-habits = die Gewohnheiten des Benutzers sind noch nicht bekannt: { $hours } Stunden an { $days } Tagen
spoken-history-short = nicht alles, was in dieser Zeit geschah, ist bekannt
spoken-deleted = { $path } wurde seit dem Start gelöscht
spoken-replaced = { $path } wurde seit dem Start ersetzt
spoken-owner = { $path } gehört UID { $uid }, nicht root
spoken-writable = { $path } können auch andere als root ändern (Rechte { $mode })
spoken-fuse = { $path } liegt auf einem FUSE-Dateisystem: wer es bereitstellt, bestimmt den Inhalt
spoken-nosuid = { $path } liegt auf einem Dateisystem, das wie die von Benutzern nosuid eingehängt ist

## Begründungen

reason = Begründung
reason-named = Begründung: { $name }
reason-like = Begründung wie { $pattern }
reason-named-like = Begründung: { $name } wie { $pattern }
error-reason = Das ist keine solche Begründung.
next = Weiter
cli-reason = { $what }
cli-reason-optional = { $what } (darf leer bleiben)
cli-reason-missing = eine Begründung wird verlangt; `--reason` nennt sie. { $what }
cli-reason-unlike = die Begründung passt nicht: { $what }
cli-reason-long = die Begründung ist zu lang: höchstens { $number } Zeichen
cli-reason-short = die Begründung ist zu kurz: mindestens { $number } Zeichen
cli-reason-control = die Begründung enthält Zeichen, die sich nicht anzeigen lassen

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
cli-no-emergency = es gibt keinen Endpunkt, den Sie im Notfall erreichen dürfen
cli-emergency = Notfall: öffnet { $endpoint } für { $time }, an den Regeln vorbei
cli-emergency-alarm = Das wird festgehalten und löst Alarm aus.
cli-emergency-left = { $number ->
    [one] noch { $number } Mal innerhalb von 24 Stunden
   *[other] noch { $number } Mal innerhalb von 24 Stunden
}
cli-realm = Bereich { $realm }
cli-up-to = Zugriff für höchstens { $time }
cli-elevated = bestätigt: { $realm } für höchstens { $time }
cli-not-elevated = kein Code, also hat sich nichts geändert
cli-no-realm = keine Regel verlangt einen Nachweis von Ihnen
cli-no-such-realm = keine Regel verlangt im Bereich { $realm } einen Nachweis von Ihnen. `stile realms` zeigt Ihre
cli-several-realms = es gibt mehrere Bereiche. Nennen Sie einen, etwa `stile elevate { $realm }`
cli-throttled = zu viele falsche Codes. Wartezeit: { $time }
cli-no-code = das ist kein Code
cli-no-code-again = das ist kein Code; geben Sie die Ziffern ein, die Ihre App zeigt
cli-left = nicht beantwortet; die Anfrage bleibt offen. `stile deny { $id }` beendet sie sofort
cli-too-late = zu spät: die Verbindung wurde aufgegeben, und kein Code wurde verbraucht. Verbinden Sie sich erneut
cli-not-pending = keine Ihrer offenen Anfragen hat die Nummer { $id }; vielleicht ist sie vorbei. `stile pending` zeigt alle
cli-nothing-pending = es gibt keine offene Anfrage
cli-several-pending = mehrere Anfragen sind offen. Nennen Sie eine, etwa `stile { $command } { $id }`
