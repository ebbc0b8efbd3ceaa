// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people are shown of challenges, and what those who watch are told.

use tracing::warn;

use super::Pipeline;
use super::requests::count;
use crate::audit::ChallengeOutcome;
use crate::challenge::Challenge;
use crate::classify::Process;
use crate::clock::Now;
use crate::ids::{ChallengeId, Uid};
use crate::policy::{Factor, Proof};
use crate::service::{ChallengeView, News, seconds_up};

/// Most further endpoints that are named.
const MAX_ALSO: usize = 8;

impl Pipeline {
    /// What the user is shown: facts of the kernel and names of the policy, nothing that the
    /// process chose unescaped.
    pub(super) fn view(&self, challenge: &Challenge, now: Now) -> Option<ChallengeView> {
        let first = challenge.waiting.first()?;
        let terms = first.terms.as_ref()?;
        let subject = challenge.key.subject;
        let process = first.facts.process();
        let whereabouts = process.and_then(|process| self.logins.whereabouts(process, subject));
        let (session, from) = whereabouts.unwrap_or_default();
        let left = challenge.deadline().since(now.boot);
        let endpoint = self.endpoint_name(first.facts.endpoint);
        let asked = self.reason_view(challenge, now);
        Some(ChallengeView {
            id: challenge.id,
            uid: subject,
            also: self.further(challenge, &endpoint),
            endpoint,
            destination: first.facts.destination.to_string(),
            rule: terms.rule.to_string(),
            realm: challenge.key.realm.to_string(),
            program: first.facts.program_shown(),
            pid: first.facts.attempt.pid,
            parent: process
                .and_then(|process| process.parent.as_ref())
                .map_or_else(String::new, crate::classify::Parent::name),
            terminal: process
                .and_then(|process| process.terminal)
                .map_or_else(String::new, |terminal| terminal.tty.to_string()),
            from: from.map_or_else(String::new, |address| address.to_string()),
            session,
            reasons: challenge.reasons.clone(),
            warnings: match process {
                Some(process) => self.doubt_of(process).into_iter().collect(),
                None => vec!["the process that connected has ended".to_owned()],
            },
            waiting: count(challenge.waiting.len()),
            scope: challenge.key.bound.name().to_owned(),
            ttl_seconds: terms.given.ttl.as_secs(),
            deadline: now.wall.seconds() + seconds_up(left),
            seconds_left: seconds_up(left),
            factors: self
                .answers_to(challenge, now)
                .iter()
                .map(ToString::to_string)
                .collect(),
            reason: asked.demand,
            reason_name: asked.name,
            reason_pattern: asked.pattern,
        })
    }

    /// The other endpoints that connections wait for.
    fn further(&self, challenge: &Challenge, first: &str) -> Vec<String> {
        let mut further: Vec<String> = Vec::new();
        for waiting in &challenge.waiting {
            let name = self.endpoint_name(waiting.facts.endpoint);
            if name != first && !further.contains(&name) && further.len() < MAX_ALSO {
                further.push(name);
            }
        }
        further
    }

    /// Why the program is worth a second look.
    fn doubt_of(&self, process: &Process) -> Option<String> {
        let examined = self.programs.examine(process).ok()?;
        examined.doubt.map(|doubt| doubt.to_string())
    }

    /// What the user can give beforehand for one of these proofs.
    pub(super) fn factors_for(&self, uid: Uid, proofs: &[Proof]) -> Vec<String> {
        let at_hand = self.at_hand(uid);
        let helps = |factor: &&Factor| self.some_take(proofs, factor).is_ok();
        at_hand
            .iter()
            .filter(helps)
            .map(ToString::to_string)
            .collect()
    }

    /// Tells those who watch that a challenge was raised.
    pub(super) fn tell_raised(&mut self, id: ChallengeId, now: Now) {
        let view = self
            .challenges
            .get(id)
            .and_then(|challenge| self.view(challenge, now));
        if let Some(view) = view {
            self.tell_news(News::Raised(Box::new(view)));
        }
    }

    /// Tells those who watch that a challenge is over.
    pub(super) fn tell_over(&mut self, id: ChallengeId, uid: Uid, outcome: ChallengeOutcome) {
        self.past.note(id, uid, outcome);
        let outcome = outcome.name();
        self.tell_news(News::Ended { id, uid, outcome });
    }

    /// Says what has just happened. Nobody is waited for: those who watch can ask for what they
    /// missed.
    pub(super) fn tell_news(&mut self, news: News) {
        let for_prompters = matches!(news, News::Raised(_) | News::Ended { .. });
        if !for_prompters && !self.watched.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        if let Err(tokio::sync::mpsc::error::TrySendError::Full(_)) = self.news.try_send(news) {
            self.untold_news += 1;
            if self.untold_news.is_power_of_two() {
                warn!(
                    count = self.untold_news,
                    "the bus is behind: prompts may be missing"
                );
            }
        }
    }
}
