//! One RPC call on its way through a product: its parameters, the world it changes, the moment it happens at.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::auth::Caller;
use super::catalog::{Catalog, Region};
use super::config::Config;
use super::keys::Keys;
use super::store::{World, ids};
use super::wire::fault::Fault;
use super::wire::params::{Params, Tags};

/// What a product answers, without the request id.
pub(crate) type Outcome = Result<Json, Fault>;

/// An RPC call.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) config: &'a Config,
    pub(crate) keys: &'a Keys,
    pub(crate) catalog: &'static Catalog,
    pub(crate) now: Timestamp,
    pub(crate) caller: &'a Caller,
    pub(crate) params: &'a Params,
}

impl Call<'_> {
    /// The region that must be named.
    pub(crate) fn region(&self) -> Result<&'static Region, Fault> {
        self.params.required("RegionId")?;
        self.optional_region()?.ok_or_else(|| Fault::mandatory("RegionId"))
    }

    /// The region, if one is named.
    pub(crate) fn optional_region(&self) -> Result<Option<&'static Region>, Fault> {
        let Some(id) = self.params.text("RegionId") else { return Ok(None) };
        let unknown = || Fault::missing("InvalidRegionId.NotFound", "The specified RegionId does not exist.");
        self.catalog.regions.get(id).ok_or_else(unknown).map(Some)
    }

    /// Whether a resource of `region` is one that this call can see: if a region is named it must be that one.
    pub(crate) fn sees(&self, region: &str) -> Result<bool, Fault> {
        Ok(self.optional_region()?.is_none_or(|named| named.id == region))
    }

    /// A new id, `prefix-...` with `length` characters after the dash.
    pub(crate) fn new_id(&mut self, prefix: &str, region: &str, length: usize) -> String {
        let number = self.world.next_number();
        ids::resource(self.config.seed, number, prefix, region, length)
    }

    /// Ends the call here if it is a dry run: everything was checked and nothing is to be changed.
    pub(crate) fn end_dry_run(&self) -> Result<(), Fault> {
        if self.params.boolean("DryRun")? {
            return Err(Fault::bad("DryRunOperation", "Request validation has been passed with DryRun flag set."));
        }
        Ok(())
    }

    /// Refuses parameters that ask for what the local cloud does not have. `false`, 0 and nothing ask for nothing.
    pub(crate) fn lacks(&self, names: &[&str]) -> Result<(), Fault> {
        let asks = |value: &str| !value.is_empty() && value != "0" && !value.eq_ignore_ascii_case("false");
        let below = |key: &str, name: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        match names.iter().find(|name| self.params.iter().any(|(key, value)| below(key, name) && asks(value))) {
            Some(name) => Err(Fault::bad("InvalidParameter", format!("The local cloud does not have what {name} asks for."))),
            None => Ok(()),
        }
    }

    /// A name of at most 128 characters that is not a link.
    pub(crate) fn name(&self, parameter: &str) -> Result<String, Fault> {
        self.short_text(parameter, 128, &format!("Invalid{parameter}.Malformed"))
    }

    /// A description of at most 256 characters that is not a link.
    pub(crate) fn description(&self) -> Result<String, Fault> {
        self.short_text("Description", 256, "InvalidDescription.Malformed")
    }

    fn short_text(&self, parameter: &str, most: usize, code: &str) -> Result<String, Fault> {
        let text = self.params.owned(parameter);
        if text.chars().count() > most || text.starts_with("http://") || text.starts_with("https://") {
            return Err(Fault::bad(code, format!("The specified parameter {parameter} is not valid.")));
        }
        Ok(text)
    }

    /// Refuses to buy without money.
    pub(crate) fn check_balance(&self) -> Result<(), Fault> {
        if self.balance() < self.config.least_balance {
            let message = "Your account does not have enough balance.";
            return Err(Fault::forbidden("InvalidAccountStatus.NotEnoughBalance", message));
        }
        Ok(())
    }

    /// What the account has left, in CNY.
    pub(crate) fn balance(&self) -> rust_decimal::Decimal {
        self.config.balance - self.world.index.spending.until(self.now)
    }
}

/// Tags as ECS answers them.
pub(crate) fn ecs_tags(tags: &Tags) -> Json {
    let list: Vec<Json> = tags.iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect();
    json!({ "Tag": list })
}

/// Tags as VPC answers them.
pub(crate) fn vpc_tags(tags: &Tags) -> Json {
    let list: Vec<Json> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({ "Tag": list })
}
