//! Quantities with units as people write them: `60s`, `4GiB`, `5Mbps`.

use std::fmt;
use std::str::FromStr;

/// Reads a whole number with a unit from a table; the error names the units.
fn parse(text: &str, what: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let names = || units.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if number.is_empty() {
        return Err(format!("`{text}` is not {what}: a whole number and one of {}", names()));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("`{text}` has no unit; use one of {}", names()),
            _ => format!("`{unit}` is not a unit of {what}; use one of {}", names()),
        });
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)).ok_or_else(|| format!("`{text}` is too large"))
}

/// Writes with the largest unit that divides.
fn write(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let (name, factor) = units.iter().rev().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor)).unwrap_or(&units[0]);
    f.pad(&format!("{}{name}", amount / factor))
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $what:literal, $getter:ident, $getter_doc:literal, $units:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            #[doc = $getter_doc]
            pub const fn $getter(self) -> u64 {
                self.0
            }

            /// The quantity of so many of the smallest unit.
            pub const fn of(amount: u64) -> Self {
                $name(amount)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                parse(text, $what, $units).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, self.0, $units)
            }
        }

        super::address::serde_as_text!($name);
    };
}

quantity!(
    /// A length of time in whole seconds.
    Duration, "a duration", seconds, "Seconds.", &[("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]
);
quantity!(
    /// An amount of memory or disk in MiB.
    Size, "a size", mebibytes, "MiB.", &[("MiB", 1), ("GiB", 1024), ("TiB", 1024 * 1024)]
);
quantity!(
    /// A network bandwidth in Mbit/s.
    Bandwidth, "a bandwidth", megabits, "Mbit/s.", &[("Mbps", 1), ("Gbps", 1000)]
);

impl Size {
    /// GiB as the exact decimal that prices and type tables use.
    pub fn gibibytes(self) -> rust_decimal::Decimal {
        rust_decimal::Decimal::from(self.0) / rust_decimal::Decimal::from(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_written() {
        assert_eq!("60s".parse::<Duration>().unwrap().to_string(), "1m");
        assert_eq!("4GiB".parse::<Size>().unwrap().mebibytes(), 4096);
        assert_eq!("5 Mbps".parse::<Bandwidth>().unwrap().to_string(), "5Mbps");
        assert_eq!(Duration::of(0).to_string(), "0s");
    }

    #[test]
    fn a_quantity_needs_its_unit() {
        assert_eq!("60".parse::<Duration>().unwrap_err(), "`60` has no unit; use one of `s`, `m`, `h`, `d`");
        assert_eq!("4GB".parse::<Size>().unwrap_err(), "`GB` is not a unit of a size; use one of `MiB`, `GiB`, `TiB`");
        assert!("99999999999999999999s".parse::<Duration>().is_err());
    }
}
