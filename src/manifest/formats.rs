//! The kinds of text that a manifest holds: what each looks like, as a check and as a pattern for the JSON Schema.
//! A pattern must never refuse what its check accepts.

use std::fmt::Display;
use std::str::FromStr;

use ipnet::Ipv4Net;

use super::template;
use crate::model::money::Money;
use crate::model::secret::SecretSource;
use crate::model::units::{Bandwidth, Duration, Size};

/// A kind of text.
pub(super) struct Format {
    /// The code of complaints about it.
    pub(super) code: &'static str,
    /// What it is, with an article.
    pub(super) what: &'static str,
    /// A text of the kind.
    pub(super) example: &'static str,
    /// A regular expression (ECMA 262) that every text of the kind matches.
    pub(super) pattern: &'static str,
    /// What is wrong with a text.
    pub(super) check: fn(&str) -> Result<(), Wrong>,
}

/// What is wrong with a text, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    /// Better than the example of the format.
    pub(super) instead: Option<String>,
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Wrong { message, instead: None }
    }
}

impl Format {
    /// What to do about a text that failed the check.
    pub(super) fn hint(&self, wrong: &Wrong) -> String {
        match &wrong.instead {
            Some(instead) => format!("write `{instead}`"),
            None => format!("write {} such as `{}`", self.what, self.example),
        }
    }
}

/// An IPv4 network.
const CIDR: &str = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$";

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident: $code:literal, $what:literal, $example:literal, $pattern:expr, $check:expr;)*) => {
        $(
        $(#[$doc])*
        pub(super) const $name: Format = Format { code: $code, what: $what, example: $example, pattern: $pattern, check: $check };
    )*

        #[cfg(test)]
        const ALL: &[Format] = &[$($name),*];
    };
}

formats! {
    /// The name of a stack, application or job; it becomes part of names in the cloud.
    NAME: "bad-name", "a name", "shop-1", r"^[a-z][a-z0-9-]{0,39}$", name;
    OUTPUT_NAME: "bad-name", "a name", "url", r"^[A-Za-z][A-Za-z0-9_-]{0,39}$", output_name;
    ENV_NAME: "bad-name", "the name of an environment variable", "API_URL", r"^[A-Za-z_][A-Za-z0-9_]*$", env_name;
    MONEY: "bad-money", "an amount of money", "3 CNY", r"^[0-9]+(\.[0-9]+)?\s*(CNY|USD)$", money;
    TIMEOUT: "bad-duration", "a duration", "2h", r"^[0-9]+\s*(s|m|h|d)$", |text| duration(text, Duration::of(365 * 86400));
    WITHIN: "bad-duration", "a duration", "60s", r"^[0-9]+\s*(s|m|h|d)$", |text| duration(text, Duration::of(3600));
    MEMORY: "bad-size", "a size", "4GiB", r"^[0-9]+\s*(MiB|GiB|TiB)$", memory;
    DISK: "bad-size", "a size", "40GiB", r"^[0-9]+\s*(MiB|GiB|TiB)$", disk;
    TRAFFIC: "bad-size", "an amount of data", "5GiB", r"^[0-9]+\s*(MiB|GiB|TiB)$", |text| read::<Size>(text).map(drop);
    BANDWIDTH: "bad-bandwidth", "a bandwidth", "5Mbps", r"^[0-9]+\s*(Mbps|Gbps)$", bandwidth;
    VPC_CIDR: "bad-cidr", "a private network", "192.168.0.0/16", CIDR, vpc_cidr;
    VSWITCH_CIDR: "bad-cidr", "a network", "192.168.1.0/24", CIDR, |text| masked(text, 16, 29, "a vSwitch");
    ALLOW_CIDR: "bad-cidr", "a network", "0.0.0.0/0", CIDR, |text| network(text).map(drop);
    VPC_ID: "bad-id", "the identifier of a VPC", "vpc-bp1abc", r"^vpc-[a-z0-9]+$", |text| id(text, "vpc-", "a VPC");
    VSWITCH_ID: "bad-id", "the identifier of a vSwitch", "vsw-bp1abc", r"^vsw-[a-z0-9]+$", |text| id(text, "vsw-", "a vSwitch");
    SECURITY_GROUP_ID: "bad-id", "the identifier of a security group", "sg-bp1abc", r"^sg-[a-z0-9]+$", |text| id(text, "sg-", "a security group");
    INSTANCE_ID: "bad-id", "the identifier of an instance", "i-bp1abc", r"^i-[a-z0-9]+$", |text| id(text, "i-", "an instance");
    INSTANCE_TYPE: "bad-instance-type", "an instance type", "ecs.u1-c1m2.large", r"^ecs\.[a-z0-9-]+\.[a-z0-9-]+$", instance_type;
    ZONE: "bad-zone", "a zone", "cn-hangzhou-i", r"^[a-z]+-[a-z0-9-]+$", zone;
    IMAGE_FAMILY: "bad-image", "an image family", "acs:alibaba_cloud_linux_3_2104_lts_x64", r"^[A-Za-z0-9:._-]+$", image_family;
    CONTAINER_IMAGE: "bad-image", "a container image", "registry-vpc.cn-hangzhou.aliyuncs.com/lab/train:1", r"^[a-z0-9][A-Za-z0-9._:/@-]*$", container_image;
    CLUSTER_ID: "bad-id", "the identifier of a cluster", "c1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d", r"^c[a-z0-9]+$", |text| id(text, "c", "a cluster");
    CLUSTER_NAME: "bad-name", "the name of a cluster", "lab", r"^[^-\s]\S{0,62}$", cluster_name;
    GPU_MODEL: "bad-text", "the model of a GPU", "NVIDIA T4", r"\S", line;
    SCRIPT: "bad-text", "a shell script", "npm ci", r"\S", filled;
    HTTP_PATH: "bad-http-path", "the path of a URL", "/healthz", r"^/\S*$", http_path;
    SOURCE: "bad-source", "a folder or the URL of a git repository", ".", r"\S", line;
    FILE: "bad-path", "a file", "train.py", r"\S", line;
    RESULT: "bad-path", "a file or folder", "model/", r"\S", result_path;
    TEMPLATE: "bad-template", "a text", "${apps.web.url}", r"", |text| Ok(template::parse(text).map(drop)?);
    SECRET_SOURCE: "bad-secret-source", "a source of secrets", "env:API_KEY", r"^env:[A-Za-z_][A-Za-z0-9_]*$", |text| Ok(text.parse::<SecretSource>().map(drop)?);
}

/// Letters, digits and what else a name may have; `first` says which characters may begin it.
fn named(text: &str, kind: &str, first: fn(char) -> bool, rest: fn(char) -> bool) -> Result<(), Wrong> {
    let mut characters = text.chars();
    match characters.next() {
        Some(c) if first(c) && characters.all(rest) => {}
        _ => return Err(format!("`{text}` is not {kind}").into()),
    }
    match text.len() {
        1..=40 => Ok(()),
        length => Err(format!("`{text}` has {length} characters, more than the 40 of a name").into()),
    }
}

fn name(text: &str) -> Result<(), Wrong> {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    named(text, "a name: lower-case letters, digits and hyphens, a letter first", |c| c.is_ascii_lowercase(), rest)
}

fn output_name(text: &str) -> Result<(), Wrong> {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    named(text, "a name: letters, digits, hyphens and underscores, a letter first", |c| c.is_ascii_alphabetic(), rest)
}

fn env_name(text: &str) -> Result<(), Wrong> {
    let fits = |(i, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
    match !text.is_empty() && text.chars().enumerate().all(fits) {
        true => Ok(()),
        false => {
            Err(format!("`{text}` is not the name of an environment variable: letters, digits and underscores, no digit first").into())
        }
    }
}

/// Reads a text by its own rules and hands on what they say against it.
fn read<T: FromStr<Err: Display>>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|error: T::Err| error.to_string().into())
}

fn money(text: &str) -> Result<(), Wrong> {
    let money: Money = read(text)?;
    if money.amount.is_sign_negative() {
        return Err(format!("`{text}` is negative; a budget is nothing or more").into());
    }
    let number = text.split(|c: char| c.is_whitespace() || c.is_alphabetic()).next().unwrap_or_default();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.trim() == text && digits(whole) && digits(fraction) {
        true => Ok(()),
        false => Err(format!("`{number}` is not a plain amount").into()),
    }
}

fn duration(text: &str, most: Duration) -> Result<(), Wrong> {
    let duration: Duration = read(text)?;
    match duration.seconds() {
        0 => Err(format!("`{text}` is no time at all").into()),
        seconds if seconds > most.seconds() => Err(format!("`{text}` is longer than {most}, the most that is sensible here").into()),
        _ => Ok(()),
    }
}

fn memory(text: &str) -> Result<(), Wrong> {
    let size: Size = read(text)?;
    match size.mebibytes() {
        0 => Err(format!("`{text}` is nothing at all").into()),
        _ if size > Size::of(64 << 20) => Err(format!("`{text}` is more than any machine has").into()),
        _ => Ok(()),
    }
}

/// The sizes that a system disk can have; Alibaba Cloud, "Elastic Block Storage, limits".
fn disk(text: &str) -> Result<(), Wrong> {
    let size: Size = read(text)?;
    let (least, most) = (Size::of(20 << 10), Size::of(2 << 20));
    if size < least || size > most {
        return Err(format!("`{text}` is not between {least} and {most}, the sizes of a system disk").into());
    }
    match size.mebibytes().is_multiple_of(1024) {
        true => Ok(()),
        false => Err(format!("`{text}` is not a whole number of GiB").into()),
    }
}

/// What an instance can be given; AllocatePublicIpAddress and RunInstances, `InternetMaxBandwidthOut`.
fn bandwidth(text: &str) -> Result<(), Wrong> {
    match read::<Bandwidth>(text)?.megabits() {
        1..=100 => Ok(()),
        _ => Err(format!("`{text}` is not between 1Mbps and 100Mbps").into()),
    }
}

fn network(text: &str) -> Result<Ipv4Net, Wrong> {
    if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
        let message = format!("`{address}` is an address, not a network");
        return Err(Wrong { message, instead: Some(format!("{address}/32")) });
    }
    let network: Ipv4Net = text.parse().map_err(|_| format!("`{text}` is not an IPv4 network"))?;
    if network.trunc() != network {
        let message = format!("`{text}` has bits after its mask, it is an address in the network `{}`", network.trunc());
        return Err(Wrong { message, instead: Some(network.trunc().to_string()) });
    }
    Ok(network)
}

fn masked(text: &str, least: u8, most: u8, of: &str) -> Result<(), Wrong> {
    let length = network(text)?.prefix_len();
    match (least..=most).contains(&length) {
        true => Ok(()),
        false => Err(format!("the mask /{length} is not between /{least} and /{most}, those of {of}").into()),
    }
}

fn vpc_cidr(text: &str) -> Result<(), Wrong> {
    let network = network(text)?;
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    if !private.iter().filter_map(|range| range.parse::<Ipv4Net>().ok()).any(|range| range.contains(&network)) {
        return Err(format!("`{text}` is not inside a private range: {}", private.map(|range| format!("`{range}`")).join(", ")).into());
    }
    masked(text, 8, 28, "a VPC")
}

fn id(text: &str, prefix: &str, of: &str) -> Result<(), Wrong> {
    let fits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    match text.strip_prefix(prefix).is_some_and(fits) {
        true => Ok(()),
        false => Err(format!("`{text}` is not the identifier of {of}; one starts with `{prefix}`").into()),
    }
}

/// Lower-case letters, digits and hyphens, at least one.
fn plain_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn instance_type(text: &str) -> Result<(), Wrong> {
    let parts: Vec<&str> = text.split('.').collect();
    match parts.as_slice() {
        ["ecs", family, size] if plain_word(family) && plain_word(size) => Ok(()),
        _ => Err(format!("`{text}` is not an instance type").into()),
    }
}

fn zone(text: &str) -> Result<(), Wrong> {
    let fits = |(first, rest): (&str, &str)| !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_lowercase()) && plain_word(rest);
    match text.split_once('-').is_some_and(fits) {
        true => Ok(()),
        false => Err(format!("`{text}` is not a zone").into()),
    }
}

fn container_image(text: &str) -> Result<(), Wrong> {
    let rest = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    match text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && text.chars().all(rest) {
        true => Ok(()),
        false => Err(format!("`{text}` is not a container image").into()),
    }
}

fn cluster_name(text: &str) -> Result<(), Wrong> {
    let fits = !text.starts_with('-') && text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match fits && (1..=63).contains(&text.chars().count()) {
        true => Ok(()),
        false => Err(format!("`{text}` is not the name of a cluster: 1 to 63 letters, digits, underscores and hyphens").into()),
    }
}

fn image_family(text: &str) -> Result<(), Wrong> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!("`{text}` is not an image family").into()),
    }
}

fn filled(text: &str) -> Result<(), Wrong> {
    match text.chars().all(char::is_whitespace) {
        true => Err("the text is empty".to_owned().into()),
        false => Ok(()),
    }
}

fn line(text: &str) -> Result<(), Wrong> {
    filled(text)?;
    match text.chars().any(char::is_control) {
        true => Err("the text has a line break or another control character in it".to_owned().into()),
        false => Ok(()),
    }
}

fn http_path(text: &str) -> Result<(), Wrong> {
    match text.starts_with('/') && !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        true => Ok(()),
        false => Err(format!("`{text}` is not the path of a URL; one starts with `/` and has no spaces").into()),
    }
}

fn result_path(text: &str) -> Result<(), Wrong> {
    line(text)?;
    match text.starts_with(['/', '~']) || text.split('/').any(|part| part == "..") {
        true => Err(format!("`{text}` leads out of the folder that the job runs in").into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_passes_its_own_check() {
        for format in ALL {
            assert_eq!((format.check)(format.example), Ok(()), "{}", format.what);
        }
    }

    #[test]
    fn a_network_with_host_bits_names_the_network() {
        let wrong = (VPC_CIDR.check)("192.168.1.5/16").unwrap_err();
        assert_eq!(VPC_CIDR.hint(&wrong), "write `192.168.0.0/16`");
    }

    #[test]
    fn masks_and_ranges_have_their_ends() {
        for text in ["10.0.0.0/8", "192.168.0.16/28", "172.16.0.0/12"] {
            assert_eq!((VPC_CIDR.check)(text), Ok(()), "{text}");
        }
        for text in ["10.0.0.0/29", "172.0.0.0/8", "8.8.8.0/24", "0.0.0.0/0", "192.168.0.0", "fd00::/8"] {
            assert!((VPC_CIDR.check)(text).is_err(), "{text} was taken");
        }
        for (text, fits) in [("10.0.0.0/16", true), ("10.0.0.0/29", true), ("10.0.0.0/15", false), ("10.0.0.0/30", false)] {
            assert_eq!((VSWITCH_CIDR.check)(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn money_is_never_negative_and_always_written_out() {
        for text in ["-3 CNY", "-0.01 USD", "+3 CNY", "1_000 CNY", ".5 CNY", "5. CNY", " 3 CNY", "3", "3 EUR"] {
            assert!((MONEY.check)(text).is_err(), "{text:?} was taken");
        }
        for text in ["0 CNY", "1500 CNY", "0.25  USD", "3CNY"] {
            assert_eq!((MONEY.check)(text), Ok(()), "{text}");
        }
    }
}
