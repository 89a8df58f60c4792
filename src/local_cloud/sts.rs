//! STS: roles that are assumed for a time, and who it is that asks. What a policy allows is not looked at: whoever has
//! a key may do everything.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::auth::session::{Session, issue};
use super::call::{Call, Outcome};
use super::time::{after, seconds};
use super::wire::fault::Fault;

const DEFAULT_DURATION: u64 = 3600;

/// GetCallerIdentity.
pub(crate) fn caller_identity(call: &mut Call) -> Outcome {
    let account = &call.config.account;
    let mut answer = json!({ "AccountId": account, "Arn": call.caller.arn(account) });
    match (&call.caller.user, &call.caller.role) {
        (_, Some((role, session))) => {
            answer["IdentityType"] = "AssumedRoleUser".into();
            answer["PrincipalId"] = format!("{}:{session}", number_of('3', role)).into();
            answer["RoleId"] = number_of('3', role).into();
        }
        (Some(user), None) => {
            answer["IdentityType"] = "RAMUser".into();
            answer["PrincipalId"] = number_of('2', user).into();
            answer["UserId"] = number_of('2', user).into();
        }
        (None, None) => {
            answer["IdentityType"] = "Account".into();
            answer["PrincipalId"] = account.as_str().into();
            answer["UserId"] = account.as_str().into();
        }
    }
    Ok(answer)
}

/// AssumeRole.
pub(crate) fn assume_role(call: &mut Call) -> Outcome {
    if call.caller.user.is_none() && call.caller.role.is_none() {
        return Err(Fault::forbidden("NoPermission", "Roles may not be assumed by root accounts."));
    }
    let role = role(call)?;
    let source_identity = text_of(call, "SourceIdentity", 2..=64, is_name_character)?;
    text_of(call, "ExternalId", 2..=1224, |c| is_name_character(c) || "+=,:/".contains(c))?;
    let mut answer = session_of(call, role, source_identity.clone())?;
    if let Some(identity) = source_identity {
        answer["SourceIdentity"] = identity.into();
    }
    Ok(answer)
}

/// AssumeRoleWithOIDC. Nobody signs it: the token of an identity provider says who asks. Every provider of the account is
/// taken for one that is known and trusted, so what its token says is believed as long as it is not expired.
pub(crate) fn assume_role_with_oidc(call: &mut Call) -> Outcome {
    let provider = call.params.required("OIDCProviderArn")?;
    let own = format!("acs:ram::{}:oidc-provider/", call.config.account);
    let name = provider.strip_prefix(&own).filter(|name| is_name(name, 128));
    name.ok_or_else(|| Fault::missing("EntityNotExist.OIDCProvider", format!("The OIDC provider does not exist: {provider}.")))?;
    let claims = claims(call.params.required("OIDCToken")?, call.now)?;
    let role = role(call)?;
    let mut answer = session_of(call, role, None)?;
    answer["OIDCTokenInfo"] = claims;
    Ok(answer)
}

/// What the payload of a JSON Web Token says.
#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    subject: String,
    #[serde(rename = "aud")]
    audience: Audience,
    #[serde(rename = "exp")]
    expires: i64,
    #[serde(rename = "iat")]
    issued: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

fn claims(token: &str, now: Timestamp) -> Result<Json, Fault> {
    let invalid = || Fault::bad("AuthenticationFail.OIDCToken.Invalid", "This JSON Web Token is invalid.");
    let parts: Vec<&str> = token.trim().split('.').collect();
    let [header, payload, _signature] = parts[..] else { return Err(invalid()) };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid());
    serde_json::from_slice::<serde_json::Map<String, Json>>(&decode(header)?).map_err(|_| invalid())?;
    let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| invalid())?;
    let moment = |at: i64| Timestamp::from_second(at).map_err(|_| invalid());
    let (expires, issued) = (moment(claims.expires)?, moment(claims.issued)?);
    if expires <= now {
        return Err(Fault::bad("AuthenticationFail.OIDCToken.Expired", "This JSON Web Token is expired."));
    }
    let audience = match claims.audience {
        Audience::One(audience) => audience,
        Audience::Several(audiences) => audiences.join(","),
    };
    Ok(json!({
        "ClientIds": audience,
        "ExpirationTime": seconds(expires),
        "IssuanceTime": seconds(issued),
        "Issuer": claims.issuer,
        "Subject": claims.subject,
        "VerificationInfo": "Success",
    }))
}

/// The name of the role that is asked for.
fn role(call: &Call) -> Result<String, Fault> {
    let arn = call.params.required("RoleArn")?;
    let malformed = || Fault::bad("InvalidParameter.RoleArn", "The parameter RoleArn is wrongly formed.");
    let (account, name) = arn.strip_prefix("acs:ram::").and_then(|rest| rest.split_once(":role/")).ok_or_else(malformed)?;
    if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_digit()) || !is_name(name, 64) {
        return Err(malformed());
    }
    let known = call.config.roles.as_ref().is_none_or(|roles| roles.iter().any(|role| role == name));
    if account != call.config.account || !known {
        return Err(Fault::missing("EntityNotExist.Role", format!("The specified Role not exists: {arn}.")));
    }
    Ok(name.to_owned())
}

fn session_of(call: &mut Call, role: String, source_identity: Option<String>) -> Outcome {
    call.params.required("RoleSessionName")?;
    let name = text_of(call, "RoleSessionName", 2..=64, is_name_character)?.unwrap_or_default();
    let wrong = || Fault::bad("InvalidParameter.DurationSeconds", "The Min/Max value of DurationSeconds is 15min/12hr.");
    let duration = call.params.number("DurationSeconds").map_err(|_| wrong())?.unwrap_or(DEFAULT_DURATION);
    if !(900..=43_200).contains(&duration) {
        return Err(wrong());
    }
    check_policy(call)?;
    let key = call.keys.session_key().map_err(|error| Fault::new(500, "InternalError", error.to_string()))?;
    let until = after(call.now, Duration::from_secs(duration));
    let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
    let session = Session { number: call.world.next_number(), role, name, until, source_identity };
    let issued = issue(&key, &session);
    let Session { role, name, .. } = session;
    Ok(json!({
        "AssumedRoleUser": {
            "Arn": format!("acs:ram::{}:assumed-role/{role}/{name}", call.config.account),
            "AssumedRoleId": format!("{}:{name}", number_of('3', &role)),
        },
        "Credentials": {
            "AccessKeyId": issued.id,
            "AccessKeySecret": issued.secret.reveal(),
            "SecurityToken": issued.token,
            "Expiration": seconds(until),
        },
    }))
}

/// A policy that narrows what the session may do has to be one.
fn check_policy(call: &Call) -> Result<(), Fault> {
    let Some(text) = call.params.text("Policy") else { return Ok(()) };
    let policy: Option<Json> = serde_json::from_str(text).ok().filter(|_| text.len() <= 2048);
    if policy.is_none_or(|policy| policy["Version"] != "1" || !policy["Statement"].is_array()) {
        return Err(Fault::bad("InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check."));
    }
    Ok(())
}

fn text_of(
    call: &Call,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
    allowed: impl Fn(char) -> bool,
) -> Result<Option<String>, Fault> {
    let Some(text) = call.params.text(name) else { return Ok(None) };
    if !length.contains(&text.len()) || !text.chars().all(allowed) {
        return Err(Fault::bad(format!("InvalidParameter.{name}"), format!("The parameter {name} is wrongly formed.")));
    }
    Ok(Some(text.to_owned()))
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".@-_".contains(c)
}

fn is_name(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest && name.chars().all(is_name_character)
}

/// The number of a user or role, the same every time.
fn number_of(kind: char, name: &str) -> String {
    let number = name.bytes().fold(0_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 100_000_000_000_000_000);
    format!("{kind}{number:017}")
}
