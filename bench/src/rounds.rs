// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contenders take turns: in each round each of them does a block of work, in an order that
//! rotates. What else the machine does meets all of them alike, and a ratio is one of two blocks
//! of the same round.

use anyhow::Result;

use crate::report::{Ratio, Row};
use crate::stats;

/// What one block of work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The median of its operations.
    pub(crate) median: f64,
    /// Their 99th percentile.
    pub(crate) p99: Option<f64>,
    /// CPU time of all parties for each operation.
    pub(crate) cpu: Option<f64>,
}

impl Sample {
    /// Of a block that gave one number, as a rate.
    pub(crate) fn one(number: f64) -> Self {
        Self {
            median: number,
            p99: None,
            cpu: None,
        }
    }

    /// Adds CPU time that so many operations have caused after they were over.
    pub(crate) fn add_cpu(&mut self, time: f64, operations: usize) {
        self.cpu = self.cpu.map(|cpu| cpu + time / operations as f64);
    }
}

/// Somebody who does a block of work when it is their turn.
pub(crate) trait Contender {
    /// Does it.
    fn block(&mut self) -> Result<Sample>;
}

impl<F: FnMut() -> Result<Sample>> Contender for F {
    fn block(&mut self) -> Result<Sample> {
        self()
    }
}

/// What a contender took, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    samples: Vec<Sample>,
}

/// Lets contenders take turns. One more round goes before, and is not counted: it warms up.
pub(crate) fn take_turns(
    rounds: usize,
    contenders: &mut [&mut dyn Contender],
) -> Result<Vec<Measured>> {
    let count = contenders.len();
    let mut measured = vec![Measured::default(); count];
    for round in 0..=rounds {
        for turn in 0..count {
            let at = (turn + round) % count;
            let sample = contenders[at].block()?;
            if round > 0 {
                measured[at].samples.push(sample);
            }
        }
    }
    Ok(measured)
}

impl Measured {
    /// The row of this contender.
    pub(crate) fn row(&self, id: String, what: &str, who: &str, unit: &str) -> Row {
        let some = |of: fn(&Sample) -> Option<f64>| {
            let numbers: Vec<f64> = self.samples.iter().filter_map(of).collect();
            (!numbers.is_empty()).then(|| stats::median(&numbers))
        };
        Row {
            id,
            what: what.to_owned(),
            who: who.to_owned(),
            unit: unit.to_owned(),
            median: stats::median(&self.medians()),
            p99: some(|sample| sample.p99),
            cpu: some(|sample| sample.cpu),
            ratio: None,
            rounds: self.samples.len(),
            goal: None,
        }
    }

    /// What this contender took more than another one, round by round.
    pub(crate) fn beyond(&self, other: &Self) -> Self {
        let pairs = self.samples.iter().zip(&other.samples);
        let samples = pairs.map(|(own, other)| Sample::one(own.median - other.median));
        Self {
            samples: samples.collect(),
        }
    }

    /// This contender against another one, round by round.
    pub(crate) fn against(&self, other: &Self, id: &str, guarded: bool) -> Ratio {
        let ratios: Vec<f64> = self
            .medians()
            .iter()
            .zip(other.medians())
            .map(|(own, other)| own / other)
            .collect();
        let (low, high) = stats::interval(&ratios);
        Ratio {
            against: id.to_owned(),
            value: stats::median(&ratios),
            low,
            high,
            guarded,
        }
    }

    fn medians(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.median).collect()
    }
}
