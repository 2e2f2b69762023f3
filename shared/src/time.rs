//! Time as a value: timestamps in microseconds, durations as people write them, and the clock as a parameter.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Microseconds since the Unix epoch, UTC. The text form is RFC 3339 with six decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = self.0.clamp(-62_135_596_800_000_000, 253_402_207_200_000_000);
        let time = jiff::Timestamp::from_microsecond(clamped).map_err(|_| fmt::Error)?;
        write!(f, "{time:.6}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse::<jiff::Timestamp>()?.as_microsecond()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            serde::de::Error::custom(format_args!(
                "`{text}` is not an RFC 3339 time, such as 2031-05-01T12:00:00Z"
            ))
        })
    }
}

/// A duration as people write it: `90s`, `5m`, `1h30m` or ISO 8601 `PT90S` on input, seconds on output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(pub Duration);

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write `90s`, `5m`, `1h30m` or ISO 8601 such as `PT90S`")]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refused = || SpanError(text.chars().take(40).collect());
        let signed: jiff::SignedDuration = text.parse().map_err(|_| refused())?;
        let duration = Duration::try_from(signed).map_err(|_| refused())?;
        if duration > Duration::from_hours(366 * 24) { Err(refused()) } else { Ok(Self(duration)) }
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Written {
            Seconds(f64),
            Text(String),
        }
        match <Written as serde::Deserialize>::deserialize(deserializer)? {
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
            Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|d| *d <= Duration::from_hours(366 * 24))
                .map(Span)
                .ok_or_else(|| serde::de::Error::custom(SpanError(seconds.to_string()))),
        }
    }
}

/// Where time comes from. Everything that needs the time takes one of these.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Wall-clock time; may jump.
    fn now(&self) -> Timestamp;

    /// The machine's own wall clock, also where `now` is held to what others have signed.
    fn wall(&self) -> Timestamp {
        self.now()
    }

    /// Time since boot, suspend included; never jumps (`CLOCK_BOOTTIME`).
    fn boot(&self) -> Duration;
}

/// The shared handle everything holds.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000))
    }

    fn boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// For what expires: wall-clock time that never goes back, whatever is done to the machine's clock.
///
/// It goes on with the boot clock from the newest time it has shown, so a clock that was set back revives nothing.
#[derive(Debug)]
pub struct SteadyClock {
    inner: SharedClock,
    newest: Mutex<(Timestamp, Duration)>,
}

impl SteadyClock {
    /// `newest` is the newest time known to have been, from before this process.
    pub fn new(inner: SharedClock, newest: Timestamp) -> Self {
        let boot = inner.boot();
        Self { inner, newest: Mutex::new((newest, boot)) }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let (wall, boot) = (self.inner.now(), self.inner.boot());
        let mut newest = self.newest.lock().expect("no holder of this lock panics");
        let now = if crate::planted::planted("clock-set-back-believed") {
            wall
        } else {
            wall.max(newest.0 + boot.saturating_sub(newest.1))
        };
        *newest = (now, boot.max(newest.1));
        now
    }

    fn boot(&self) -> Duration {
        self.inner.boot()
    }
}

/// A clock that moves only when told to; for tests and simulation.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<(Timestamp, Duration)>>);

impl ManualClock {
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new((now, Duration::from_secs(1_000)))))
    }

    /// Moves wall clock and boot clock forward together.
    pub fn advance(&self, by: Duration) {
        let mut clocks = self.0.lock().expect("no holder of this lock panics");
        clocks.0 = clocks.0 + by;
        clocks.1 += by;
    }

    /// Makes the wall clock jump; the boot clock stays.
    pub fn set_wall(&self, now: Timestamp) {
        self.0.lock().expect("no holder of this lock panics").0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().expect("no holder of this lock panics").0
    }

    fn boot(&self) -> Duration {
        self.0.lock().expect("no holder of this lock panics").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_clock_goes_on_when_the_wall_clock_goes_back() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let wall = ManualClock::new(at(1_000));
        let steady = SteadyClock::new(Arc::new(wall.clone()), at(1_200));
        assert_eq!(steady.now(), at(1_200), "what is known to have been");
        wall.set_wall(at(5_000));
        assert_eq!(steady.now(), at(5_000));
        wall.set_wall(at(2_000));
        wall.advance(Duration::from_secs(30));
        assert_eq!(steady.now(), at(5_030), "on with the boot clock");
        wall.set_wall(at(6_000));
        assert_eq!(steady.now(), at(6_000));
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("PT90S", 90), ("2h", 7200)] {
            assert_eq!(text.parse::<Span>(), Ok(Span::from_secs(seconds)), "{text}");
        }
        for text in ["", "-5s", "soon", "99999999h", "5"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_print_six_decimals() {
        assert_eq!(Timestamp::from_micros(1_700_000_000_120_000).to_string(), "2023-11-14T22:13:20.120000Z");
    }
}
