//! `ClientToken`: the same token with the same parameters gets the same answer, with others it is refused.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::Sha256;

use super::store::{Due, World};
use super::time::after;
use super::wire::fault::Fault;
use super::wire::params::Params;

/// How long a token is remembered. No source states it; a day is what we keep.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The actions that take a token.
const TAKING: [&str; 28] = [
    "AllocateEipAddress",
    "AssociateEipAddress",
    "AuthorizeSecurityGroup",
    "AuthorizeSecurityGroupEgress",
    "CreateCluster",
    "CreateCommand",
    "CreateNatGateway",
    "CreateSecurityGroup",
    "CreateSnatEntry",
    "CreateVSwitch",
    "CreateVpc",
    "DeleteInstances",
    "DeleteSnatEntry",
    "DeleteVpc",
    "InvokeCommand",
    "ModifyInstanceChargeType",
    "ModifyInstanceNetworkSpec",
    "ModifyInstanceSpec",
    "ModifySecurityGroupPolicy",
    "ModifySecurityGroupRule",
    "ReplaceSystemDisk",
    "ResizeDisk",
    "RevokeSecurityGroup",
    "RevokeSecurityGroupEgress",
    "RunCommand",
    "RunInstances",
    "SendFile",
    "UnassociateEipAddress",
];

/// Parameters that differ between two tries of the same call.
const PASSING: [&str; 10] = [
    "AccessKeyId",
    "ClientToken",
    "Format",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureType",
    "SignatureVersion",
    "Timestamp",
];

/// An answer that is given again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    /// A keyed digest of the parameters; they themselves may hold secrets.
    parameters: String,
    answer: Json,
    /// When it is forgotten.
    pub(crate) until: Timestamp,
}

/// A call that carries a token.
pub(crate) struct Ticket {
    key: String,
    parameters: String,
}

/// The call's ticket, or `None` if it carries no token or does not take one.
pub(crate) fn ticket(action: &str, params: &Params, secret: &str) -> Result<Option<Ticket>, Fault> {
    let Some(token) = params.text("ClientToken").filter(|_| TAKING.contains(&action)) else { return Ok(None) };
    if token.len() > 64 || !token.is_ascii() {
        return Err(Fault::bad("InvalidClientToken.Malformed", "The specified parameter ClientToken is not valid."));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    for (name, value) in params.iter().filter(|(name, _)| !PASSING.contains(name)) {
        for part in [name, value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
    }
    let key = format!("{action}/{}/{token}", params.text("RegionId").unwrap_or_default());
    Ok(Some(Ticket { key, parameters: hex::encode(mac.finalize().into_bytes()) }))
}

impl Ticket {
    /// The answer that was given before.
    pub(crate) fn answered(&self, world: &World, action: &str) -> Result<Option<Json>, Fault> {
        match world.tokens.get(&self.key) {
            None => Ok(None),
            Some(known) if known.parameters == self.parameters => Ok(Some(known.answer.clone())),
            Some(_) => {
                let code = if action == "ModifyInstanceSpec" { "IdempotenceParamNotMatch" } else { "IdempotentParameterMismatch" };
                let status = if matches!(action, "CreateCommand" | "RunCommand" | "InvokeCommand" | "SendFile") { 403 } else { 400 };
                let message = "The specified parameters do not match those of the earlier request with the same ClientToken.";
                Err(Fault::new(status, code, message))
            }
        }
    }

    /// Remembers the answer.
    pub(crate) fn keep(self, world: &mut World, answer: &Json, now: Timestamp) {
        let until = after(now, LIFETIME);
        world.index.due.insert((until, Due::Token(self.key.clone())));
        world.tokens.insert(self.key, Token { parameters: self.parameters, answer: answer.clone(), until });
    }
}
