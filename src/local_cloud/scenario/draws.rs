//! The rules about calls at work. Each rule has dice of its own, so that its n-th call has the same fate in every run,
//! whatever other calls come between.

use std::time::Duration;

use tokio::time::Instant;

use super::rule::{CallRule, Takes};
use crate::local_cloud::calls::asked::Asked;
use crate::local_cloud::faults::{Dice, Fate, throttled};
use crate::local_cloud::wire::fault::Fault;

/// All rules, armed.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    rule: CallRule,
    dice: Dice,
    /// How often it may still fail a call.
    left: u64,
    gate: Option<Gate>,
}

/// Lets so many through in a second, and at most a second's worth at once.
#[derive(Debug)]
struct Gate {
    per_second: f64,
    open: f64,
    since: Instant,
}

impl Gate {
    fn lets_through(&mut self) -> bool {
        let now = Instant::now();
        let more = now.duration_since(self.since).as_secs_f64() * self.per_second;
        self.open = (self.open + more).min(self.per_second.max(1.0));
        self.since = now;
        if self.open < 1.0 {
            return false;
        }
        self.open -= 1.0;
        true
    }
}

impl Rules {
    pub(crate) fn new(rules: &[CallRule], seed: u64) -> Rules {
        let armed = |(number, rule): (u64, &CallRule)| Armed {
            dice: Dice::new(Dice::new(seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F)).next()),
            left: rule.fails.as_ref().and_then(|fails| fails.times).unwrap_or(u64::MAX),
            gate: rule.per_second.map(|per_second| Gate { per_second, open: per_second.max(1.0), since: Instant::now() }),
            rule: rule.clone(),
        };
        Rules((1..).zip(rules).map(armed).collect())
    }

    /// What becomes of a call's fate.
    pub(crate) fn bend(&mut self, mut fate: Fate, asked: &Asked) -> Fate {
        for armed in self.0.iter_mut().filter(|armed| armed.rule.fits(&asked.product, &asked.action)) {
            armed.bend(&mut fate);
        }
        fate
    }
}

impl Armed {
    /// Always draws as often, so that one probability does not shift the others.
    fn bend(&mut self, fate: &mut Fate) {
        let [lost_request, throttle, kind, fails, lost_answer, delay] = std::array::from_fn(|_| self.dice.share());
        let rule = &self.rule;
        fate.lost_request |= lost_request < rule.lost_requests;
        fate.lost_answer |= lost_answer < rule.lost_answers;
        if let Some(Takes { least, most }) = rule.takes {
            fate.delay = least + (most - least).mul_f64(delay);
        }
        let too_many = self.gate.as_mut().is_some_and(|gate| !gate.lets_through());
        if fate.refused.is_some() {
            return;
        }
        if too_many || throttle < rule.throttled {
            fate.refused = Some(throttled((kind < 0.5).then_some(Duration::from_millis(200))));
        } else if let Some(failure) = rule.fails.as_ref().filter(|failure| self.left > 0 && fails < failure.share) {
            self.left -= 1;
            fate.refused = Some(Fault::new(failure.status, &failure.code, &failure.message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::scenario::rule::Failure;

    fn asked(product: &str, action: &str) -> Asked {
        Asked { product: product.to_owned(), action: action.to_owned(), ..Asked::default() }
    }

    fn codes(rules: &mut Rules, calls: &[&str]) -> Vec<String> {
        let fate = |action: &&str| rules.bend(Fate::default(), &asked("ecs", action)).refused.map_or(String::new(), |fault| fault.code);
        calls.iter().map(fate).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_nth_call_of_a_rule_has_the_same_fate_whatever_comes_between() {
        let half = Failure { share: 0.5, ..Failure::of("X") };
        let rules = [
            CallRule { call: "ecs:RunInstances".to_owned(), fails: Some(half), ..CallRule::default() },
            CallRule { call: "ecs:Describe*".to_owned(), throttled: 0.5, ..CallRule::default() },
        ];
        let alone = codes(&mut Rules::new(&rules, 7), &["RunInstances"; 50]);
        let mixed = codes(&mut Rules::new(&rules, 7), &["RunInstances", "DescribeZones", "StopInstance"].repeat(50));
        assert_eq!(alone, mixed.iter().step_by(3).cloned().collect::<Vec<_>>());
        assert!((10..40).contains(&alone.iter().filter(|code| *code == "X").count()), "{alone:?}");
        assert_ne!(alone, codes(&mut Rules::new(&rules, 8), &["RunInstances"; 50]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_is_spent_after_its_times() {
        let twice = Failure { times: Some(2), ..Failure::of("X") };
        let rules = [CallRule { call: "*:*".to_owned(), fails: Some(twice), ..CallRule::default() }];
        assert_eq!(codes(&mut Rules::new(&rules, 1), &["A", "B", "C", "D"]), ["X", "X", "", ""]);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_calls_a_second_are_let_through() {
        let rules = [CallRule { call: "ecs:*".to_owned(), per_second: Some(2.0), ..CallRule::default() }];
        let mut rules = Rules::new(&rules, 1);
        let through = |rules: &mut Rules| codes(rules, &["A"; 10]).iter().filter(|code| code.is_empty()).count();
        assert_eq!(through(&mut rules), 2);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(through(&mut rules), 1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(through(&mut rules), 2);
    }
}
