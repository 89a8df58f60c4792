//! The parameters of an RPC call: query and form merged, lists and structures unflattened on demand.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Request;
use super::encoding::pairs;
use super::fault::Fault;

/// Tags, by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// How many tags a resource or a filter takes.
const MAX_TAGS: usize = 20;

/// Decoded parameters by their wire name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Query and, if the body is one, the form of a POST; where both name a parameter the form counts.
    pub(crate) fn of(request: &Request) -> Self {
        let mut all: BTreeMap<String, String> = pairs(&request.query).into_iter().collect();
        let form = request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if form
            && request.method == http::Method::POST
            && let Ok(body) = std::str::from_utf8(&request.body)
        {
            all.extend(pairs(body));
        }
        Params(all)
    }

    /// Parameters that no request carried: one operation of the cloud uses another.
    pub(crate) fn made_up(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Params(pairs.into_iter().collect())
    }

    /// The same with values for what is missing or empty.
    pub(crate) fn with_defaults(&self, defaults: &[(&str, String)]) -> Self {
        let mut all = self.0.clone();
        for (name, value) in defaults.iter().filter(|(name, _)| self.text(name).is_none()) {
            all.insert((*name).to_owned(), value.clone());
        }
        Params(all)
    }

    /// Every parameter in the order of names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A parameter even if it is empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter, unless it is missing or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|text| !text.is_empty())
    }

    /// A parameter as an owned text; empty if it is missing.
    pub(crate) fn owned(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Fault> {
        self.text(name).ok_or_else(|| Fault::mandatory(name))
    }

    /// A number, `None` if it is missing.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Fault> {
        self.text(name).map(|text| text.trim().parse().map_err(|_| Fault::invalid(name))).transpose()
    }

    /// A truth value in any case; false if it is missing.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.flag(name)?.unwrap_or(false))
    }

    /// A truth value in any case, `None` if it is missing.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.text(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(Fault::invalid(name)),
        }
    }

    /// One of a closed set of values, `default` if it is missing.
    pub(crate) fn choice<'a>(&'a self, name: &str, allowed: &[&str], default: &'a str) -> Result<&'a str, Fault> {
        let text = self.text(name).unwrap_or(default);
        if allowed.contains(&text) { Ok(text) } else { Err(Fault::invalid(name)) }
    }

    /// `Name.1`, `Name.2`, ... by their numbers, gaps left out, at most `most`.
    pub(crate) fn list(&self, name: &str, most: usize) -> Result<Vec<String>, Fault> {
        let prefix = format!("{name}.");
        let mut numbered: Vec<(u32, String)> = self
            .0
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter_map(|(key, value)| Some((key[prefix.len()..].parse().ok()?, value.clone())))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        if numbered.len() > most {
            return Err(Fault::bad("InvalidParameter", format!("The number of {name} exceeds the limit of {most}.")));
        }
        Ok(numbered.into_iter().map(|(_, value)| value).collect())
    }

    /// `Name.1.Key`, `Name.1.Value`, ... as one set of parameters for each number.
    pub(crate) fn structs(&self, name: &str) -> Vec<Params> {
        let prefix = format!("{name}.");
        let mut numbered: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        for (key, value) in self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            if let Some((number, field)) = key[prefix.len()..].split_once('.')
                && let Ok(number) = number.parse()
            {
                numbered.entry(number).or_default().insert(field.to_owned(), value.clone());
            }
        }
        numbered.into_values().map(Params).collect()
    }

    /// The parameters below `Name.`, such as those of `SystemDisk`.
    pub(crate) fn below(&self, name: &str) -> Params {
        let prefix = format!("{name}.");
        let inner = self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        Params(inner.map(|(key, value)| (key[prefix.len()..].to_owned(), value.clone())).collect())
    }

    /// A list that travels as a JSON text; `None` if it is missing.
    pub(crate) fn json_list(&self, name: &str, most: usize) -> Result<Option<Vec<String>>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match serde_json::from_str::<Vec<String>>(text) {
            Ok(list) if list.len() <= most => Ok(Some(list)),
            _ => Err(Fault::bad(format!("Invalid{name}.Malformed"), format!("The specified parameter {name} is not valid."))),
        }
    }

    /// A list that travels with commas; `None` if it is missing.
    pub(crate) fn commas(&self, name: &str, most: usize) -> Result<Option<Vec<String>>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let list: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
        if list.len() <= most { Ok(Some(list)) } else { Err(Fault::invalid(name)) }
    }

    /// The tags that a creation or TagResources carries.
    pub(crate) fn tags(&self) -> Result<Tags, Fault> {
        let mut tags = Tags::new();
        for tag in self.structs("Tag") {
            let key = tag.text("Key").ok_or_else(|| Fault::bad("InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid."))?;
            let value = tag.given("Value").unwrap_or_default();
            let reserved = key.starts_with("aliyun") || key.starts_with("acs:");
            if reserved || key.chars().count() > 128 || key.contains("http://") || key.contains("https://") {
                return Err(Fault::bad("InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid."));
            }
            if value.chars().count() > 128 || value.contains("http://") || value.contains("https://") {
                return Err(Fault::bad("InvalidTagValue.Malformed", "The specified Tag.n.Value is not valid."));
            }
            if tags.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(Fault::bad("Duplicate.TagKey", "The Tag.N.Key contain duplicate key."));
            }
        }
        if tags.len() > MAX_TAGS {
            return Err(Fault::bad("InvalidTagCount", format!("The specified tags are beyond the permitted range of {MAX_TAGS}.")));
        }
        Ok(tags)
    }

    /// The tags that a description is filtered by; a tag without a value asks for its key only.
    pub(crate) fn tag_filter(&self) -> TagFilter {
        TagFilter(
            self.structs("Tag")
                .iter()
                .filter_map(|tag| Some((tag.text("Key")?.to_owned(), tag.given("Value").map(str::to_owned))))
                .collect(),
        )
    }
}

/// Which tags a resource must have.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagFilter(Vec<(String, Option<String>)>);

impl TagFilter {
    /// Whether anything is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `tags` has all that is asked for.
    pub(crate) fn fits(&self, tags: &Tags) -> bool {
        self.0.iter().all(|(key, value)| tags.get(key).is_some_and(|own| value.as_ref().is_none_or(|value| value == own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params(pairs(query).into_iter().collect())
    }

    #[test]
    fn lists_follow_their_numbers_and_tolerate_gaps() {
        let params = params("Id.10=k&Id.2=b&Id.7=g&Ids=no&Id.x=no");
        assert_eq!(params.list("Id", 3).unwrap(), ["b", "g", "k"]);
        assert_eq!(params.list("Id", 2).unwrap_err().code, "InvalidParameter");
    }

    #[test]
    fn tags_keep_empty_values_and_refuse_doubles_and_reserved_keys() {
        let tags = params("Tag.1.Key=owner&Tag.1.Value=a+b&Tag.2.Key=empty&Tag.2.Value=").tags().unwrap();
        assert_eq!(tags, [("empty", ""), ("owner", "a b")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(params("Tag.1.Key=a&Tag.2.Key=a").tags().unwrap_err().code, "Duplicate.TagKey");
        assert_eq!(params("Tag.1.Key=acs:x").tags().unwrap_err().code, "InvalidTagKey.Malformed");
    }

    #[test]
    fn booleans_come_in_any_case() {
        assert!(params("DryRun=True").boolean("DryRun").unwrap());
        assert!(!params("DryRun=false").boolean("DryRun").unwrap());
        assert!(params("DryRun=yes").boolean("DryRun").is_err());
    }

    #[test]
    fn a_missing_parameter_is_named() {
        let fault = params("VpcId=").required("VpcId").unwrap_err();
        assert_eq!((fault.status, fault.code.as_str()), (400, "MissingVpcId"));
    }
}
