//! Random counts, drawn at once instead of one by one: a simulated week has a hundred million visits.

use fastrand::Rng;

/// Above this mean the normal distribution is near enough.
const MANY: f64 = 30.0;

/// Events in a time in which `mean` are expected.
pub fn poisson(random: &mut Rng, mean: f64) -> u64 {
    if mean > MANY {
        return whole(mean + mean.sqrt() * normal(random));
    }
    let (limit, mut product, mut count) = ((-mean).exp(), random.f64(), 0);
    while product > limit {
        product *= random.f64();
        count += 1;
    }
    count
}

/// Those of `count` that something happens to with this probability.
pub fn binomial(random: &mut Rng, count: u64, probability: f64) -> u64 {
    if probability >= 1.0 || count == 0 {
        return count;
    }
    let mean = float(count) * probability;
    if mean <= 0.0 {
        return 0;
    }
    if count <= 64 {
        return (0..count).map(|_| u64::from(random.f64() < probability)).sum();
    }
    if mean < MANY {
        return poisson(random, mean).min(count);
    }
    whole(mean + (mean * (1.0 - probability)).sqrt() * normal(random)).min(count)
}

/// A standard normal value (Box and Muller's way).
pub fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// That share of a count, rounded.
pub fn share(count: u64, share: f64) -> u64 {
    whole(float(count) * share)
}

#[expect(clippy::cast_precision_loss, reason = "packets of one second, far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cut at zero, and far below 2^53"
)]
fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_right() {
        let mut random = Rng::with_seed(1);
        for mean in [0.01, 3.0, 29.0, 31.0, 500.0] {
            let sum: u64 = (0..20_000).map(|_| poisson(&mut random, mean)).sum();
            let found = float(sum) / 20_000.0;
            assert!((found - mean).abs() < 6.0 * (mean / 20_000.0).sqrt(), "{mean}: {found}");
        }
        for (count, probability) in [(10, 0.3), (1000, 0.01), (1000, 0.5)] {
            let sum: u64 = (0..20_000).map(|_| binomial(&mut random, count, probability)).sum();
            let (found, mean) = (float(sum) / 20_000.0, float(count) * probability);
            assert!((found - mean).abs() < 6.0 * (mean / 20_000.0).sqrt(), "{count} {probability}: {found}");
        }
    }
}
