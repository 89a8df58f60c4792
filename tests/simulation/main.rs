//! Seeded histories: random small manifests applied one after another to a local cloud in the same process, under a
//! clock that stands still, with throttling, failing servers, lost requests, lost answers, and crashes at random
//! journal records. Whatever happened: after one more apply the cloud holds exactly the wanted resources, and the next
//! plan is empty. A failing seed is printed; `ALIFORM_SEED=n cargo test --test simulation` runs it alone.

mod faulty;
mod history;
mod money;
mod training;

/// How many histories a run of the test goes through.
const HISTORIES: u64 = 500;

#[test]
fn every_history_ends_with_exactly_the_wanted_resources() {
    #[expect(clippy::disallowed_methods, reason = "a seed to run alone is handed in by the environment")]
    let alone = std::env::var("ALIFORM_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let seeds = alone.map_or(0..HISTORIES, |seed| seed..seed + 1);
    let mut seen = history::Seen::default();
    for seed in seeds {
        let one = std::panic::catch_unwind(|| history::run(seed));
        match one {
            Ok(Ok(one)) => seen.add(&one),
            Ok(Err(what)) => panic!("seed {seed}: {what}\nrun it alone with: ALIFORM_SEED={seed} cargo test --test simulation"),
            Err(panic) => {
                eprintln_seed(seed);
                std::panic::resume_unwind(panic);
            }
        }
    }
    // A run in which nothing went wrong on purpose would prove nothing.
    if alone.is_none() {
        assert!(seen.crashes > 200 && seen.lost > 500 && seen.refused > 500 && seen.destroyed > 20, "{seen:?}");
    }
}

#[expect(clippy::print_stderr, reason = "the seed has to be seen before the panic goes on")]
fn eprintln_seed(seed: u64) {
    eprintln!("seed {seed} panicked; run it alone with: ALIFORM_SEED={seed} cargo test --test simulation");
}
