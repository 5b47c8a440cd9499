//! Where randomised runs get their randomness from: one seed, printed, and repeated by asking for it.

use std::env;

use rand::{RngExt, rngs::StdRng};

/// The seed of the next run.
const SEED: &str = "SOLGIK_TEST_SEED";

/// The seed that the run was asked for, or a new one. A failed test shows it.
pub fn seed() -> u64 {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED} is a number")),
        Err(_) => rand::random_range(0..1_000_000),
    };
    println!("{SEED}={seed}");
    seed
}

/// One of `choices`.
pub fn pick<'a, T>(random: &mut StdRng, choices: &'a [T]) -> &'a T {
    &choices[random.random_range(0..choices.len())]
}
