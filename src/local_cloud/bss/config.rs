//! The configuration of a pricing module: `InstanceType:ecs.g6.large,Region:cn-beijing`.

use std::collections::BTreeMap;
use std::str::FromStr;

use rust_decimal::Decimal;

use super::Refused;

/// What a module is configured with.
pub(super) struct Config<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Config<'a> {
    pub(super) fn read(text: &'a str) -> Result<Config<'a>, Refused> {
        let malformed = || Refused::new("InvalidParameter", format!("The configuration {text} is not valid."));
        let pairs = text.split(',').map(|pair| pair.split_once(':').ok_or_else(malformed));
        Ok(Config(pairs.collect::<Result<_, _>>()?))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied().filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a str, Refused> {
        self.text(name).ok_or_else(|| Refused::new("MissingParameter", format!("The configuration lacks {name}.")))
    }

    /// An amount that must be there: not negative, and small enough to be multiplied.
    pub(super) fn amount(&self, name: &str) -> Result<Decimal, Refused> {
        let amount: Decimal = self.number(name)?;
        if amount.is_sign_negative() || amount > Decimal::from(10_u64.pow(15)) {
            return Err(Refused::new("InvalidParameter", format!("{name} of the configuration is not valid.")));
        }
        Ok(amount)
    }

    /// A number that must be there.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, Refused> {
        let malformed = |_| Refused::new("InvalidParameter", format!("{name} of the configuration is not valid."));
        self.required(name)?.parse().map_err(malformed)
    }
}
