//! How far the system goes by itself from one mission to the next.

use nexusmon_shared::rank::Rank;

use super::ConfigError;

/// `[chains]` of the file, `--chains-…`, `NEXUSMON_CHAINS_…`.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChainSettings {
    /// How many links of a chain the system begins by itself, 1 to 16 [default: 3].
    #[arg(
        id = "chains_max_depth",
        long = "chains-max-depth",
        env = "NEXUSMON_CHAINS_MAX_DEPTH",
        value_name = "LINKS"
    )]
    pub max_depth: Option<u32>,
    /// How many missions the system begins by itself within 24 hours, 1 to 10000 [default: 20].
    #[arg(
        id = "chains_per_day",
        long = "chains-per-day",
        env = "NEXUSMON_CHAINS_PER_DAY",
        value_name = "MISSIONS"
    )]
    pub per_day: Option<u32>,
    /// Gravest rank that the system begins by itself; never a graver one than that of the mission it follows [default: S].
    #[arg(
        id = "chains_max_rank",
        long = "chains-max-rank",
        env = "NEXUSMON_CHAINS_MAX_RANK",
        value_name = "RANK"
    )]
    pub max_rank: Option<Rank>,
    /// How many missions of the same shape, inputs and outcome one follow-up may begin within an hour, 1 to 1000 [default:
    /// 10].
    #[arg(
        id = "chains_max_repeats",
        long = "chains-max-repeats",
        env = "NEXUSMON_CHAINS_MAX_REPEATS",
        value_name = "MISSIONS"
    )]
    pub max_repeats: Option<u32>,
}

/// Checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chains {
    pub max_depth: u32,
    pub per_day: u32,
    pub max_rank: Rank,
    pub max_repeats: u32,
}

impl ChainSettings {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            max_depth: self.max_depth.or(other.max_depth),
            per_day: self.per_day.or(other.per_day),
            max_rank: self.max_rank.or(other.max_rank),
            max_repeats: self.max_repeats.or(other.max_repeats),
        }
    }

    pub(super) fn check(self) -> Result<Chains, ConfigError> {
        let within = |key: &str, given: Option<u32>, default: u32, most: u32| match given.unwrap_or(default) {
            number if (1..=most).contains(&number) => Ok(number),
            number => {
                Err(ConfigError::new(format!("chains.{key}"), format!("{number} must be from 1 to {most}")))
            }
        };
        Ok(Chains {
            max_depth: within("max_depth", self.max_depth, 3, 16)?,
            per_day: within("per_day", self.per_day, 20, 10_000)?,
            max_rank: self.max_rank.unwrap_or(Rank::S),
            max_repeats: within("max_repeats", self.max_repeats, 10, 1_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let usual = ChainSettings::default().check().unwrap();
        assert_eq!((usual.max_depth, usual.per_day, usual.max_rank, usual.max_repeats), (3, 20, Rank::S, 10));
        let refused = |change: fn(&mut ChainSettings)| {
            let mut wrong = ChainSettings::default();
            change(&mut wrong);
            wrong.check().unwrap_err().to_string()
        };
        assert_eq!(refused(|s| s.max_depth = Some(0)), "chains.max_depth: 0 must be from 1 to 16");
        assert_eq!(refused(|s| s.max_depth = Some(17)), "chains.max_depth: 17 must be from 1 to 16");
        assert_eq!(refused(|s| s.per_day = Some(0)), "chains.per_day: 0 must be from 1 to 10000");
        assert_eq!(
            refused(|s| s.max_repeats = Some(2000)),
            "chains.max_repeats: 2000 must be from 1 to 1000"
        );
        let file: ChainSettings = toml::from_str("max_depth = 5\nmax_rank = \"D\"\n").unwrap();
        let given = ChainSettings { max_depth: Some(2), ..ChainSettings::default() };
        let chains = given.or(file).check().unwrap();
        assert_eq!((chains.max_depth, chains.max_rank), (2, Rank::D));
        let unknown = toml::from_str::<ChainSettings>("depth = 5\n").unwrap_err().to_string();
        assert!(unknown.contains("depth"), "{unknown}");
    }
}
