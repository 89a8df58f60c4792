//! A call on its way to a product and the answer that came back, before anyone has given them a meaning.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::error::ApiError;

/// The products that aliform speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// Elastic Compute Service.
    Ecs,
    /// Virtual Private Cloud, with elastic addresses.
    Vpc,
    /// Security Token Service.
    Sts,
    /// Billing.
    Bss,
    /// Object Storage Service.
    Oss,
    /// Function Compute 3.0.
    Fc,
    /// Container Service for Kubernetes.
    Cs,
    /// PAI: training jobs (Deep Learning Containers).
    Dlc,
    /// PAI: workspaces and images.
    AiWorkspace,
}

impl Product {
    /// Every product.
    pub const ALL: [Product; 9] = [
        Product::Ecs,
        Product::Vpc,
        Product::Sts,
        Product::Bss,
        Product::Oss,
        Product::Fc,
        Product::Cs,
        Product::Dlc,
        Product::AiWorkspace,
    ];

    /// The name that hosts and tables use.
    pub const fn code(self) -> &'static str {
        match self {
            Product::Ecs => "ecs",
            Product::Vpc => "vpc",
            Product::Sts => "sts",
            Product::Bss => "bssopenapi",
            Product::Oss => "oss",
            Product::Fc => "fc",
            Product::Cs => "cs",
            Product::Dlc => "pai-dlc",
            Product::AiWorkspace => "aiworkspace",
        }
    }

    /// The API version that is signed and sent.
    pub const fn version(self) -> &'static str {
        match self {
            Product::Ecs => "2014-05-26",
            Product::Vpc => "2016-04-28",
            Product::Sts => "2015-04-01",
            Product::Bss => "2017-12-14",
            Product::Oss => "2019-05-17",
            Product::Fc => "2023-03-30",
            Product::Cs => "2015-12-15",
            Product::Dlc => "2020-12-03",
            Product::AiWorkspace => "2021-02-04",
        }
    }
}

/// Whether a call may be sent again when no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It reads, carries a `ClientToken`, or does nothing the second time.
    Safe,
    /// It could happen twice; only an answer that proves it did not happen allows another try.
    Unsafe,
}

/// One request, not signed yet: a signature is made anew for each attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who is asked.
    pub product: Product,
    /// The API's name, `RunInstances`; for OSS the operation's, `PutObject`.
    pub action: &'static str,
    /// The region whose endpoint is asked, `cn-hangzhou`.
    pub region: String,
    /// The HTTP method.
    pub method: http::Method,
    /// OSS: the bucket; other products have none.
    pub bucket: Option<String>,
    /// Path after the host, not percent-encoded, `/` for RPC; for OSS `/` and the key; for ROA what names the resource.
    pub path: String,
    /// Query parameters, not encoded, in any order.
    pub query: Vec<(String, String)>,
    /// Headers besides those that transport and signature add, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether a lost answer allows another try.
    pub repeat: Repeat,
}

/// What came back with a status below 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// When it was given, as it says itself.
    pub fn date(&self) -> Option<Timestamp> {
        rfc2822::parse(self.header("date")?).ok().map(|date| date.timestamp())
    }
}

/// An object that someone without keys may fetch or put for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// `GET` or `PUT`.
    pub method: http::Method,
    /// The bucket's region.
    pub region: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The whole key.
    pub key: &'a str,
    /// For how long.
    pub seconds: u64,
}

/// Something that takes calls: the real cloud over HTTP, or a local one in the same process.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Sends a call and waits for its answer. A status of 400 and above is an error.
    async fn send(&self, call: Call) -> Result<Answer, ApiError>;

    /// A signed address under which a machine inside the region can fetch or put an object (OSS V4 query signature).
    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError>;
}

#[async_trait]
impl<C: Cloud + ?Sized> Cloud for Arc<C> {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        (**self).send(call).await
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        (**self).presign(link).await
    }
}
