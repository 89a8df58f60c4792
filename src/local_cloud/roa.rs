//! One ROA call on its way through a product: method, path and JSON body instead of an action with parameters. Routes
//! and meaning are the product's.

use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::auth::Caller;
use super::call::{Call, Outcome};
use super::catalog::Region;
use super::runtime::Shared;
use super::wire::encoding::decode;
use super::wire::fault::Fault;
use super::wire::params::Params;
use super::wire::{Request, Response};

/// The region of a call that names none, neither in its host nor in a header.
const DEFAULT_REGION: &str = "cn-hangzhou";

/// A ROA call whose caller is known.
pub(crate) struct RoaCall<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) request: &'a Request,
    pub(crate) request_id: &'a str,
    pub(crate) caller: &'a Caller,
    /// The query.
    pub(crate) params: Params,
    /// The path's parts, decoded.
    path: Vec<String>,
}

impl<'a> RoaCall<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, request: &'a Request, request_id: &'a str, caller: &'a Caller) -> Self {
        let path = request.path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        RoaCall { shared, request, request_id, caller, params: Params::of(request), path }
    }

    /// What a product finds its operation by: `(GET, ["clusters", id])`.
    pub(crate) fn route(&self) -> (&Method, Vec<&str>) {
        (&self.request.method, self.path.iter().map(String::as_str).collect())
    }

    /// The JSON body; an empty one is an empty object.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        let text: &[u8] = if self.request.body.is_empty() { b"{}" } else { &self.request.body };
        serde_json::from_slice(text).map_err(|error| Fault::bad("InvalidParameter", format!("The request body is not valid: {error}.")))
    }

    /// The region: ROA hosts name it (`cs.cn-beijing.aliyuncs.com`), and so may a header.
    pub(crate) fn region(&self) -> Result<&'static Region, Fault> {
        let regions = &self.shared.catalog.regions;
        let of_host = self.request.host_name().split('.').find_map(|label| regions.get(label));
        if let Some(region) = of_host {
            return Ok(region);
        }
        let id = self.request.header("x-acs-region-id").unwrap_or(DEFAULT_REGION);
        regions.get(id).ok_or_else(|| Fault::missing("InvalidRegionId.NotFound", "The specified RegionId does not exist."))
    }

    /// Changes the world, and answers once the change is on disk.
    pub(crate) async fn commit(&self, change: impl FnOnce(&mut Call) -> Outcome) -> Outcome {
        let (outcome, number) = self.shared.commit(|world, now| {
            let (config, keys, catalog) = (&self.shared.config, &self.shared.keys, self.shared.catalog);
            change(&mut Call { world, config, keys, catalog, now, caller: self.caller, params: &self.params })
        });
        let answer = outcome?;
        self.shared.settle(number).await.map_err(|reason| Fault::new(500, "InternalError", reason))?;
        Ok(answer)
    }

    /// A JSON answer.
    pub(crate) fn json(&self, body: &Json) -> Response {
        Response::json(200, self.request_id, body)
    }
}
