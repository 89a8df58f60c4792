//! A bounded fuzzing run of the local cloud: what `fuzz/` does for hours with coverage, done for seconds with seeds.
//!
//! `FUZZ_RUNS` says how many inputs each target gets, `FUZZ_SEED` where to start. A failure prints the seed that repeats
//! it. `FUZZ_CORPUS=<directory>` writes the inputs that everything starts from, for `cargo fuzz`.

mod mutate;
mod seeds;
mod sign;
mod target;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use mutate::{Dice, mutate};

/// No input takes as long as this, unless it goes on for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The panics of this thread and of tasks that ran on it; a runtime swallows those of its tasks.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it the environment")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Ends the process when an input hangs: nothing else can. It is told of each input that begins.
fn watch(name: &'static str) -> Sender<u64> {
    let (begun, begins) = channel();
    std::thread::spawn(move || {
        let mut current = 0;
        loop {
            match begins.recv_timeout(PATIENCE) {
                Ok(seed) => current = seed,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // Not with a macro: the harness would keep what it prints.
                    let text = format!("hangs: FUZZ_SEED={current} FUZZ_RUNS=1 cargo test --test fuzzing {name}\n");
                    drop(std::io::stderr().write_all(text.as_bytes()));
                    std::process::abort();
                }
            }
        }
    });
    begun
}

fn fuzz(name: &'static str, runs: u64, seeds: &[Vec<u8>], names: &[String], target: fn(&[u8])) {
    let _one_at_a_time = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::panic::set_hook(Box::new(|info| {
        PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(info.to_string());
    }));
    if let Some(directory) = std::env::var_os("FUZZ_CORPUS") {
        let directory = std::path::Path::new(&directory).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (at, seed) in seeds.iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{at:04}")), seed).unwrap();
        }
    }
    let first = number("FUZZ_SEED").unwrap_or_default();
    let runs = number("FUZZ_RUNS").unwrap_or(runs);
    let begun = watch(name);
    let mut failure = None;
    for seed in first..first.saturating_add(runs) {
        begun.send(seed).expect("somebody watches");
        // The seeds themselves come first.
        let data = match usize::try_from(seed).ok().and_then(|at| seeds.get(at)) {
            Some(data) => data.clone(),
            None => mutate(&mut Dice(seed), seeds, names),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&data)));
        let found = panics();
        if outcome.is_err() || !found.is_empty() {
            failure = Some((seed, found, data));
            break;
        }
    }
    drop(begun);
    drop(std::panic::take_hook());
    if let Some((seed, found, data)) = failure {
        let (found, data) = (found.join("\n"), String::from_utf8_lossy(&data).into_owned());
        panic!("{found}\nFUZZ_SEED={seed} FUZZ_RUNS=1 cargo test --test fuzzing {name}\n--- input\n{data}");
    }
}

/// The hook of panics is one for all threads.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn stories() {
    let (seeds, names) = seeds::stories();
    fuzz("stories", 2000, &seeds, &names, target::story);
}

#[test]
fn requests() {
    let (_, names) = seeds::stories();
    fuzz("requests", 5000, &seeds::requests(), &names, target::request);
}
