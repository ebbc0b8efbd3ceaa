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
label-answer-gives = Die Antwort erlaubt
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
error-wrong-answer = { $number ->
    [0] Falsche Antwort. Vorerst kein weiterer Versuch.
    [one] Falsche Antwort. Noch { $number } Versuch.
   *[other] Falsche Antwort. Noch { $number } Versuche.
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

told = stile: { $endpoint }
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

## Was der Agent und der Bus ablehnen

refused-no-challenge = Sie haben keine solche offene Anfrage; `stile pending` zeigt Ihre
refused-no-grant = Sie haben keine solche Erlaubnis; `stile grants` zeigt Ihre
refused-no-realm = keine Regel verlangt in diesem Bereich einen Nachweis von Ihnen; `stile realms` zeigt Ihre
refused-not-beforehand = die Regeln dieses Bereichs fragen für jedes Programm oder jede Verbindung einzeln; `stile run -- BEFEHL` fragt für ein Programm
refused-not-enrolled = Sie haben keine Authenticator-App eingerichtet; führen Sie `stile enroll` aus
refused-enrolled = UID { $uid } ist schon eingerichtet; `stile factor add` fügt ein Gerät hinzu, und ein verlorenes ersetzt ein Administrator mit `stile enroll --user { $uid }`
refused-needs-code = dazu braucht es einen Code eines Faktors, den Sie haben
refused-wrong-wait = falscher Code; der nächste Versuch muss warten
refused-wrong-one = falscher Code; noch 1 Versuch
refused-wrong = falscher Code; noch { $number } Versuche
refused-throttled = zu viele falsche Codes; der nächste Versuch wird in { $seconds } s angesehen
refused-no-factor = { $factor } geht hier nicht; `stile pending --json` und `stile factor list` zeigen, was geht
refused-not-taken = { $factor } hilft hier nicht: die Regel verlangt { $proof }
refused-no-conversation = Sie führen kein solches Gespräch; beginnen Sie neu
refused-no-recovery = Sie haben keine Wiederherstellungscodes mehr, die hier gelten; `stile factor list` zeigt, was Sie haben
refused-locked = Sie sind nach zu vielen falschen Codes gesperrt; fragen Sie einen Administrator
refused-no-enrollment = keine Einrichtung wartet auf Bestätigung; führen Sie `stile enroll` noch einmal aus
refused-not-permitted = das darf nur ein Administrator
refused-busy = zu viele Anfragen auf einmal; versuchen Sie es gleich noch einmal
refused-storage = zurzeit kann nichts erlaubt werden: { $why }
refused-kernel = der Kernel hat abgelehnt: { $why }
refused-no-emergency = es gibt keinen solchen Endpunkt, den Sie im Notfall erreichen dürfen; `stile break-glass` zeigt Ihre
refused-emergencies = öfter dürfen Sie in 24 Stunden nicht ({ $number }); das nächste Mal geht in { $seconds } s
refused-reason = eine Begründung wird verlangt ({ $what }); `--reason` nennt sie
refused-no-agent = stiled läuft nicht. Starten Sie ihn mit `systemctl start stiled`
refused-no-answer = stiled hat nicht geantwortet: { $why }. Siehe `systemctl status stiled`
refused-stopping = stiled endet gerade; versuchen Sie es gleich noch einmal

## Eine Authenticator-App einrichten

enroll-scan = Erfassen Sie das mit Ihrer Authenticator-App
enroll-type = oder tippen Sie dieses Geheimnis ab (zeitbasiert, TOTP):
enroll-confirm = Geben Sie innerhalb von { $time } den Code ein, den die App zeigt, um es zu bestätigen.
enroll-counts = Dieses Geheimnis gilt, sobald Sie es bestätigt haben.
enroll-replaces = Sie sind schon eingerichtet. Nach der Bestätigung ersetzt dieses Geheimnis das andere.
enroll-replaces-of = Nach der Bestätigung ersetzt dieses Geheimnis jedes andere von { $user }.
enroll-device-replaces = Nach der Bestätigung tritt dieses Gerät an die Stelle aller anderen.
enroll-device-counts = Dieses Gerät gilt, sobald Sie es bestätigt haben.
enroll-clock = Geht die Uhr dieses Rechners richtig?
enroll-done = eingerichtet: { $user }
enroll-clear = Das Geheimnis steht noch auf dem Bildschirm: löschen Sie ihn, bevor andere es sehen.
enroll-not = { $why }, also gilt das Geheimnis nicht. Führen Sie `stile enroll` noch einmal aus
enroll-none = es wurde kein Code eingegeben
enroll-late = zu spät
enroll-more = der Agent verlangt mehr

## stile top

top-all = alle Benutzer
top-own = Ihre eigenen
top-keys = ? Hilfe  q Ende
top-help-pane = nächster Bereich
top-help-choose = auswählen
top-help-approve = erlauben, mit Code
top-help-deny = ablehnen
top-help-revoke = eine, alle beenden
top-help-leave = Frage verlassen
top-help-help = diese Hilfe
top-help-quit = Ende
top-back = jede Taste führt zurück
top-code = Code:
top-send = Enter schickt ihn ab, Esc bricht ab
top-challenge = Anfrage { $id }: noch { $time }
top-to = zu { $endpoint }
top-pending = Warten auf Antwort
top-grants = Erlaubnisse
top-recent = Letzte Entscheidungen
top-no-pending = es gibt keine offene Anfrage
top-no-grants = keine Erlaubnis gilt
top-no-recent = noch wurde nichts entschieden
top-over = das ist vorbei
top-approved = { $number ->
    [one] erlaubt für { $time }, { $number } Verbindung geht weiter
   *[other] erlaubt für { $time }, { $number } Verbindungen gehen weiter
}
top-only = das kann nur { $user } beantworten
top-reason = eine Begründung wird verlangt: `stile approve { $id }`
top-deny = Ablehnen? y/n  { $program } zu { $endpoint }
top-revoke = { $number ->
    [one] Beenden? y/n  { $endpoint }, { $number } Verbindung
   *[other] Beenden? y/n  { $endpoint }, { $number } Verbindungen
}
top-revoke-all = { $number ->
    [one] Alle beenden? y/n  { $number } Erlaubnis
   *[other] Alle beenden? y/n  { $number } Erlaubnisse
}
top-revoke-everybody = { $number ->
    [one] Alle beenden? y/n  { $number } Erlaubnis aller
   *[other] Alle beenden? y/n  { $number } Erlaubnisse aller
}
top-head-left = NOCH
top-head-time = ZEIT
top-head-user = WER
top-head-endpoint = ENDPUNKT
top-head-destination = ZIEL
top-head-program = PROGRAMM
top-head-scope = BEREICH
top-head-by = DURCH
top-head-conns = VERB.
top-head-rule = REGEL
top-head-outcome = ERGEBNIS
top-head-why = GRUND
top-denied = abgelehnt
top-revoked = { $number ->
    [one] beendet: { $number } Erlaubnis
   *[other] beendet: { $number } Erlaubnisse
}
top-no-terminal = stdout ist kein Terminal. Programme benutzen `stile pending --json`
