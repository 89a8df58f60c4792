//! Buckets and objects, signed in the header and by link.

use aliform::local_cloud::config::Config;
use aliform::local_cloud::wire::{Request, Response};
use bytes::Bytes;

use crate::caller::{Caller, encode, hmac, sha256, sleep};

pub(crate) fn caller() -> Caller {
    Caller::new(Config::default())
}

pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) virtual_host: bool,
    pub(crate) region: &'a str,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask { method: "GET", bucket: "shop", key: "", query: &[], headers: &[], body: b"", virtual_host: false, region: "cn-hangzhou" }
    }
}

fn signature(secret: &str, day: &str, region: &str, text: &str) -> String {
    let key = [day, region, "oss", "aliyun_v4_request"]
        .iter()
        .fold(format!("aliyun_v4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex::encode(hmac(&key, text.as_bytes()))
}

fn path(text: &str) -> String {
    text.split('/').map(encode).collect::<Vec<_>>().join("/")
}

fn address(ask: &Ask) -> (String, String) {
    if ask.virtual_host {
        (format!("{}.oss-{}.aliyuncs.com", ask.bucket, ask.region), path(&format!("/{}", ask.key)))
    } else if ask.bucket.is_empty() {
        ("127.0.0.1:8080".to_owned(), "/".to_owned())
    } else {
        ("127.0.0.1:8080".to_owned(), path(&format!("/{}/{}", ask.bucket, ask.key)))
    }
}

fn resource(ask: &Ask) -> String {
    if ask.bucket.is_empty() { "/".to_owned() } else { path(&format!("/{}/{}", ask.bucket, ask.key)) }
}

fn join(query: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        query.iter().map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") }).collect();
    pairs.join("&")
}

pub(crate) fn request(caller: &Caller, ask: &Ask) -> Request {
    let date = caller.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &date[..8];
    let mut query: Vec<(String, String)> = ask.query.iter().map(|(key, value)| (encode(key), encode(value))).collect();
    query.sort();
    let mut headers: Vec<(String, String)> = ask.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.push(("x-oss-date".to_owned(), date.clone()));
    headers.push(("x-oss-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
    headers.sort();
    let signed: String = headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-oss-") || name.starts_with("content-"))
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!("{}\n{}\n{}\n{signed}\n\nUNSIGNED-PAYLOAD", ask.method, resource(ask), join(&query));
    let scope = format!("{day}/{}/oss/aliyun_v4_request", ask.region);
    let text = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let signature = signature(&caller.key.1, day, ask.region, &text);
    headers.push(("authorization".to_owned(), format!("OSS4-HMAC-SHA256 Credential={}/{scope},Signature={signature}", caller.key.0)));
    let (host, path) = address(ask);
    Request {
        method: ask.method.parse().unwrap(),
        host,
        path,
        query: join(&query),
        headers,
        body: Bytes::copy_from_slice(ask.body),
        peer: None,
    }
}

pub(crate) async fn send(caller: &Caller, ask: Ask<'_>) -> Response {
    let response = caller.cloud.handle(request(caller, &ask)).await;
    assert!(response.header("x-oss-request-id").is_some_and(|id| id.len() == 24));
    response
}

/// The status and, of an error, the code.
pub(crate) fn told(response: &Response) -> (u16, String) {
    let body = String::from_utf8_lossy(&response.body);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
    (response.status, code.to_owned())
}

fn link(caller: &Caller, bucket: &str, key: &str, seconds: u64) -> Request {
    let date = caller.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/cn-hangzhou/oss/aliyun_v4_request", &date[..8]);
    let mut query = vec![
        ("x-oss-credential".to_owned(), encode(&format!("local/{scope}"))),
        ("x-oss-date".to_owned(), date.clone()),
        ("x-oss-expires".to_owned(), seconds.to_string()),
        ("x-oss-signature-version".to_owned(), "OSS4-HMAC-SHA256".to_owned()),
    ];
    let path = path(&format!("/{bucket}/{key}"));
    let canonical = format!("GET\n{path}\n{}\n\n\nUNSIGNED-PAYLOAD", join(&query));
    let text = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    query.push(("x-oss-signature".to_owned(), signature("local", &date[..8], "cn-hangzhou", &text)));
    let host = "127.0.0.1:8080".to_owned();
    Request { method: http::Method::GET, host, path, query: join(&query), headers: Vec::new(), body: Bytes::new(), peer: None }
}

#[tokio::test(start_paused = true)]
async fn an_object_lives_in_its_bucket() {
    let caller = caller();
    assert_eq!(told(&send(&caller, Ask { method: "PUT", key: "a", body: b"x", ..Ask::default() }).await), (404, "NoSuchBucket".to_owned()));
    assert_eq!(send(&caller, Ask { method: "PUT", ..Ask::default() }).await.status, 200);
    assert_eq!(send(&caller, Ask { method: "PUT", ..Ask::default() }).await.status, 200);
    let info = send(&caller, Ask { query: &[("bucketInfo", "")], ..Ask::default() }).await;
    assert!(String::from_utf8_lossy(&info.body).contains("<Location>oss-cn-hangzhou</Location>"));
    let put = Ask {
        method: "PUT",
        key: "dir a/obj+1.txt",
        headers: &[("content-type", "text/plain"), ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="), ("x-oss-meta-owner", "me")],
        body: b"hello world",
        ..Ask::default()
    };
    let response = send(&caller, put).await;
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    assert_eq!(response.header("etag"), Some("\"5EB63BBBE01EEED093CB22BB8F5ACDC3\""));
    assert_eq!(response.header("x-oss-hash-crc64ecma"), Some("5981764153023615706"));
    // The same object, whichever way it is addressed.
    for virtual_host in [false, true] {
        let got = send(&caller, Ask { key: "dir a/obj+1.txt", virtual_host, ..Ask::default() }).await;
        assert_eq!((got.status, got.body.as_ref()), (200, b"hello world".as_slice()));
        assert_eq!((got.header("content-type"), got.header("x-oss-meta-owner")), (Some("text/plain"), Some("me")));
    }
    let head = send(&caller, Ask { method: "HEAD", key: "dir a/obj+1.txt", ..Ask::default() }).await;
    assert_eq!((head.header("content-length"), head.body.len()), (Some("11"), 0));
    assert_eq!(head.header("last-modified"), Some("Fri, 02 Jan 2026 03:04:05 GMT"));
    let part = send(&caller, Ask { key: "dir a/obj+1.txt", headers: &[("range", "bytes=6-")], ..Ask::default() }).await;
    assert_eq!((part.status, part.body.as_ref(), part.header("content-range")), (206, b"world".as_slice(), Some("bytes 6-10/11")));
    let unmet = [("if-none-match", "\"5EB63BBBE01EEED093CB22BB8F5ACDC3\"")];
    assert_eq!(send(&caller, Ask { key: "dir a/obj+1.txt", headers: &unmet, ..Ask::default() }).await.status, 304);
    assert_eq!(told(&send(&caller, Ask { method: "DELETE", ..Ask::default() }).await), (409, "BucketNotEmpty".to_owned()));
    for _ in 0..2 {
        assert_eq!(send(&caller, Ask { method: "DELETE", key: "dir a/obj+1.txt", ..Ask::default() }).await.status, 204);
    }
    assert_eq!(told(&send(&caller, Ask { key: "dir a/obj+1.txt", ..Ask::default() }).await), (404, "NoSuchKey".to_owned()));
    let head = send(&caller, Ask { method: "HEAD", key: "gone", ..Ask::default() }).await;
    assert!(head.status == 404 && head.body.is_empty() && head.header("x-oss-err").is_some());
    assert_eq!(send(&caller, Ask { method: "DELETE", ..Ask::default() }).await.status, 204);
    assert_eq!(caller.cloud.resources(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_has_its_code() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    let wrong = Ask { method: "PUT", key: "a", headers: &[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], body: b"x", ..Ask::default() };
    assert_eq!(told(&send(&caller, wrong).await), (400, "InvalidDigest".to_owned()));
    let forbid = || Ask { method: "PUT", key: "a", headers: &[("x-oss-forbid-overwrite", "true")], body: b"x", ..Ask::default() };
    assert_eq!(send(&caller, forbid()).await.status, 200);
    assert_eq!(told(&send(&caller, forbid()).await), (409, "FileAlreadyExists".to_owned()));
    assert_eq!(
        told(&send(&caller, Ask { method: "PUT", bucket: "No_Good", ..Ask::default() }).await),
        (400, "InvalidBucketName".to_owned())
    );
    let elsewhere = Ask { method: "PUT", region: "cn-beijing", ..Ask::default() };
    assert_eq!(told(&send(&caller, elsewhere).await), (409, "BucketAlreadyExists".to_owned()));
    assert_eq!(told(&send(&caller, Ask { key: "a", region: "cn-beijing", ..Ask::default() }).await), (403, "AccessDenied".to_owned()));
    let mut tampered = request(&caller, &Ask { key: "a", ..Ask::default() });
    tampered.path = "/shop/b".to_owned();
    assert_eq!(told(&caller.cloud.handle(tampered).await), (403, "SignatureDoesNotMatch".to_owned()));
    let late = request(&caller, &Ask { key: "a", ..Ask::default() });
    sleep(16 * 60 * 1000).await;
    assert_eq!(told(&caller.cloud.handle(late).await), (403, "RequestTimeTooSkewed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_link_opens_its_object_until_it_expires() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    send(&caller, Ask { method: "PUT", key: "bundle/1 a.tar", body: b"bytes", ..Ask::default() }).await;
    let open = link(&caller, "shop", "bundle/1 a.tar", 600);
    let got = caller.cloud.handle(open.clone()).await;
    assert_eq!((got.status, got.body.as_ref()), (200, b"bytes".as_slice()));
    let mut other = open.clone();
    other.path = "/shop/bundle/2.tar".to_owned();
    assert_eq!(told(&caller.cloud.handle(other).await), (403, "SignatureDoesNotMatch".to_owned()));
    let mut longer = open.clone();
    longer.query = longer.query.replace("x-oss-expires=600", "x-oss-expires=6000");
    assert_eq!(told(&caller.cloud.handle(longer).await), (403, "SignatureDoesNotMatch".to_owned()));
    let mut bare = open.clone();
    bare.query.clear();
    assert_eq!(told(&caller.cloud.handle(bare).await), (403, "AccessDenied".to_owned()));
    sleep(601 * 1000).await;
    let expired = caller.cloud.handle(open).await;
    assert_eq!(told(&expired), (403, "AccessDenied".to_owned()));
    assert!(String::from_utf8_lossy(&expired.body).contains("Request has expired"));
}

#[tokio::test(start_paused = true)]
async fn objects_and_buckets_are_listed_in_pages() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    send(&caller, Ask { method: "PUT", bucket: "shop-2", ..Ask::default() }).await;
    for key in ["a/1", "a/2", "b c", "d/1"] {
        send(&caller, Ask { method: "PUT", key, body: key.as_bytes(), ..Ask::default() }).await;
    }
    let list = async |query: &[(&str, &str)]| {
        let query = [&[("list-type", "2"), ("encoding-type", "url")], query].concat();
        String::from_utf8(send(&caller, Ask { query: &query, ..Ask::default() }).await.body.to_vec()).unwrap()
    };
    let first = list(&[("max-keys", "3")]).await;
    assert!(first.contains("<Key>a%2F1</Key>") && first.contains("<Key>b%20c</Key>") && !first.contains("d%2F1"), "{first}");
    assert!(first.contains("<IsTruncated>true</IsTruncated>") && first.contains("<KeyCount>3</KeyCount>"));
    let token = first.split_once("<NextContinuationToken>").unwrap().1.split_once('<').unwrap().0;
    let second = list(&[("max-keys", "3"), ("continuation-token", token)]).await;
    assert!(second.contains("<Key>d%2F1</Key>") && second.contains("<KeyCount>1</KeyCount>") && !second.contains("a%2F1"), "{second}");
    let groups = list(&[("delimiter", "/")]).await;
    assert!(
        groups.contains("<CommonPrefixes><Prefix>a%2F</Prefix></CommonPrefixes>") && groups.contains("<KeyCount>3</KeyCount>"),
        "{groups}"
    );
    let buckets = send(&caller, Ask { bucket: "", ..Ask::default() }).await;
    assert_eq!(String::from_utf8_lossy(&buckets.body).matches("<Bucket>").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn access_lists_say_what_the_unsigned_may_do() {
    let caller = caller();
    let unsigned = async |ask: Ask<'_>| {
        let mut request = request(&caller, &ask);
        request.headers.retain(|(name, _)| name != "authorization");
        told(&caller.cloud.handle(request).await)
    };
    let denied = || (403, "AccessDenied".to_owned());
    let done = || (200, String::new());
    let get = |key| Ask { key, ..Ask::default() };
    let put = |key| Ask { method: "PUT", key, body: b"x", ..Ask::default() };
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    send(&caller, put("a")).await;
    assert_eq!(unsigned(get("a")).await, denied());
    assert_eq!(unsigned(Ask { bucket: "none", ..get("a") }).await, (404, "NoSuchBucket".to_owned()));
    let acl = |acl: &'static str| async move { [("x-oss-acl", acl)] };
    for (list, may_get, may_put) in [("public-read", true, false), ("public-read-write", true, true), ("private", false, false)] {
        let headers = acl(list).await;
        let set = Ask { method: "PUT", query: &[("acl", "")], headers: &headers, ..Ask::default() };
        assert_eq!(send(&caller, set).await.status, 200);
        assert_eq!(unsigned(get("a")).await, if may_get { done() } else { denied() }, "{list}");
        assert_eq!(unsigned(put("b")).await, if may_put { done() } else { denied() }, "{list}");
        // To list, to copy and to change the list is nobody's but the owner's.
        assert_eq!(unsigned(Ask { query: &[("list-type", "2")], ..Ask::default() }).await, denied());
        assert_eq!(unsigned(Ask { query: &[("acl", "")], ..get("a") }).await, denied());
        assert_eq!(unsigned(Ask { headers: &[("x-oss-copy-source", "/shop/a")], ..put("c") }).await, denied());
    }
    assert_eq!(unsigned(Ask { bucket: "", ..Ask::default() }).await, denied());
    // What an object says itself comes first.
    let own = [("x-oss-object-acl", "public-read")];
    send(&caller, Ask { headers: &own, ..put("open") }).await;
    assert_eq!(unsigned(get("open")).await, done());
    assert_eq!(unsigned(Ask { method: "DELETE", ..get("open") }).await, denied());
}

#[tokio::test(start_paused = true)]
async fn a_copy_outlives_its_source_and_failed_puts_leave_nothing() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    let put = |key, body| Ask { method: "PUT", key, body, ..Ask::default() };
    send(&caller, put("a", b"bytes")).await;
    let source = [("x-oss-copy-source", "/shop/a")];
    assert_eq!(send(&caller, Ask { method: "PUT", key: "b", headers: &source, ..Ask::default() }).await.status, 200);
    // Onto itself: only what is said of it changes.
    let again = [("x-oss-copy-source", "/shop/a"), ("x-oss-meta-owner", "me")];
    assert_eq!(send(&caller, Ask { method: "PUT", key: "a", headers: &again, ..Ask::default() }).await.status, 200);
    let head = send(&caller, Ask { method: "HEAD", key: "a", ..Ask::default() }).await;
    assert_eq!((head.header("x-oss-meta-owner"), head.header("content-length")), (Some("me"), Some("5")));
    let forbidden = [("x-oss-forbid-overwrite", "true")];
    let refused = send(&caller, Ask { headers: &forbidden, ..put("a", b"bytes") }).await;
    assert_eq!(told(&refused), (409, "FileAlreadyExists".to_owned()));
    send(&caller, Ask { method: "DELETE", key: "a", ..Ask::default() }).await;
    sleep(10).await;
    let left = send(&caller, Ask { key: "b", ..Ask::default() }).await;
    assert_eq!((left.status, left.body.as_ref()), (200, b"bytes".as_slice()));
    for (source, status, code) in [
        ("shop/b", 400, "InvalidArgument"),
        ("/shop/", 400, "InvalidArgument"),
        ("/none/b", 404, "NoSuchBucket"),
        ("/shop/none", 404, "NoSuchKey"),
        ("/shop/b?versionId=x", 501, "NotImplemented"),
    ] {
        let headers = [("x-oss-copy-source", source)];
        let response = send(&caller, Ask { method: "PUT", key: "c", headers: &headers, ..Ask::default() }).await;
        assert_eq!(told(&response), (status, code.to_owned()), "{source}");
    }
    send(&caller, Ask { method: "PUT", bucket: "far", region: "cn-beijing", ..Ask::default() }).await;
    let far = Ask {
        method: "PUT",
        bucket: "far",
        key: "c",
        headers: &[("x-oss-copy-source", "/shop/b")],
        region: "cn-beijing",
        ..Ask::default()
    };
    assert_eq!(told(&send(&caller, far).await), (403, "AccessDenied".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_goes_to_the_end_only() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    let append = async |position: usize, body: &[u8]| {
        let position = position.to_string();
        let query = [("append", ""), ("position", position.as_str())];
        send(&caller, Ask { method: "POST", key: "log", query: &query, body, ..Ask::default() }).await
    };
    let mut whole = Vec::new();
    // Short runs are joined, long ones are not: both read as one.
    for size in [10, 0, 700_000, 700_000, 1_500_000, 3] {
        let body = vec![u8::try_from(size % 251).unwrap(); size];
        let response = append(whole.len(), &body).await;
        whole.extend(body);
        assert_eq!(response.header("x-oss-next-append-position"), Some(whole.len().to_string().as_str()));
        let got = send(&caller, Ask { key: "log", ..Ask::default() }).await;
        assert!(got.body == whole, "after {}", whole.len());
        assert_eq!(got.header("x-oss-hash-crc64ecma"), response.header("x-oss-hash-crc64ecma"));
    }
    let range = [("range", "bytes=1399990-1400020")];
    let part = send(&caller, Ask { key: "log", headers: &range, ..Ask::default() }).await;
    assert!(part.status == 206 && part.body == whole[1_399_990..=1_400_020]);
    let refused = append(3, b"x").await;
    assert_eq!(told(&refused), (409, "PositionNotEqualToLength".to_owned()));
    assert_eq!(refused.header("x-oss-next-append-position"), Some(whole.len().to_string().as_str()));
    // Two at once: one is late.
    let (one, other) = tokio::join!(append(whole.len(), b"one"), append(whole.len(), b"two"));
    let mut both = [one.status, other.status];
    both.sort_unstable();
    assert_eq!(both, [200, 409]);
    let without = send(&caller, Ask { method: "POST", key: "log", query: &[("append", "")], ..Ask::default() }).await;
    assert_eq!(told(&without), (400, "MissingArgument".to_owned()));
    let copy = Ask { method: "PUT", key: "c", headers: &[("x-oss-copy-source", "/shop/log")], ..Ask::default() };
    assert_eq!(told(&send(&caller, copy).await), (400, "OperationNotSupported".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_and_not_imitated() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    for (method, key, query, status, code) in [
        ("GET", "", "versioning", 501, "NotImplemented"),
        ("PUT", "", "lifecycle", 501, "NotImplemented"),
        ("GET", "a", "versionId", 501, "NotImplemented"),
        ("GET", "a", "x-oss-process", 501, "NotImplemented"),
        ("PATCH", "a", "", 405, "MethodNotAllowed"),
        ("POST", "a", "", 405, "MethodNotAllowed"),
        ("PUT", "", "uploads", 405, "MethodNotAllowed"),
    ] {
        let pair = [(query, "")];
        let query: &[(&str, &str)] = if query.is_empty() { &[] } else { &pair };
        let response = send(&caller, Ask { method, key, query, ..Ask::default() }).await;
        assert_eq!(told(&response), (status, code.to_owned()), "{method} {key} {query:?}");
        assert!(response.header("x-oss-ec").is_some() && String::from_utf8_lossy(&response.body).contains("<RequestId>"));
    }
    let sealed = [("x-oss-server-side-encryption", "KMS")];
    let response = send(&caller, Ask { method: "PUT", key: "a", headers: &sealed, ..Ask::default() }).await;
    assert_eq!(told(&response), (501, "NotImplemented".to_owned()));
    // Signed for another region than the host is of.
    let mut ask = request(&caller, &Ask { virtual_host: true, ..Ask::default() });
    ask.host = "shop.oss-cn-beijing.aliyuncs.com".to_owned();
    assert_eq!(told(&caller.cloud.handle(ask).await), (400, "InvalidArgument".to_owned()));
    let body = b"<Delete><Object><Key>a</Key></Object></Delete>";
    let delete = Ask { method: "POST", query: &[("delete", "")], body, ..Ask::default() };
    assert_eq!(told(&send(&caller, delete).await), (400, "MissingArgument".to_owned()));
}
