//! Uploads in parts: what they make, what they refuse, and that they outlive the server.

use std::path::Path;
use std::sync::Arc;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::model::clock::RuntimeClock;

use crate::caller::{Caller, START, sleep};
use crate::object::{Ask, caller, send, told};

const LARGE: usize = 100 * 1024;

async fn begin(caller: &Caller, key: &str) -> String {
    let response = send(caller, Ask { method: "POST", key, query: &[("uploads", "")], ..Ask::default() }).await;
    let body = String::from_utf8_lossy(&response.body).into_owned();
    body.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned()
}

/// Uploads a part and answers its entity tag.
async fn upload(caller: &Caller, key: &str, id: &str, number: u32, body: &[u8]) -> String {
    let number = number.to_string();
    let query = [("partNumber", number.as_str()), ("uploadId", id)];
    let response = send(caller, Ask { method: "PUT", key, query: &query, body, ..Ask::default() }).await;
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.header("etag").unwrap().to_owned()
}

async fn complete(caller: &Caller, key: &str, id: &str, parts: &[(u32, &str)]) -> (u16, String) {
    let part = |(number, etag): &(u32, &str)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    let parts: String = parts.iter().map(part).collect();
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let query = [("uploadId", id)];
    told(&send(caller, Ask { method: "POST", key, query: &query, body: body.as_bytes(), ..Ask::default() }).await)
}

fn listed(caller: &Caller) -> Vec<(&'static str, String)> {
    caller.cloud.resources().into_iter().map(|row| (row.kind, row.id)).collect()
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("objects")).unwrap().count()
}

/// Opens the store. The tasks of a cloud that was dropped need a turn to let go of it.
async fn open(dir: &Path) -> Caller {
    sleep(10).await;
    let (clock, machines) = (Arc::new(RuntimeClock::starting_at(START.parse().unwrap())), Arc::new(Simulated::default()));
    let cloud = LocalCloud::open(dir, Config::default(), clock.clone(), machines.clone()).unwrap();
    Caller::of(cloud, clock, machines)
}

#[tokio::test(start_paused = true)]
async fn an_upload_outlives_the_server_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let before = open(dir.path()).await;
    send(&before, Ask { method: "PUT", ..Ask::default() }).await;
    let (kept, dropped) = (begin(&before, "kept").await, begin(&before, "dropped").await);
    let (first, last) = (vec![7; LARGE], b"the end".as_slice());
    let replaced = upload(&before, "kept", &kept, 1, b"replaced later").await;
    let first_tag = upload(&before, "kept", &kept, 1, &first).await;
    assert_ne!(first_tag, replaced);
    upload(&before, "dropped", &dropped, 1, b"dropped").await;
    let uploads = [format!("shop/kept?uploadId={kept}"), format!("shop/dropped?uploadId={dropped}")];
    for id in &uploads {
        assert!(listed(&before).contains(&("multipart_upload", id.clone())), "{:?}", listed(&before));
    }
    drop(before);

    let after = open(dir.path()).await;
    assert_eq!(files(dir.path()), 2);
    let last_tag = upload(&after, "kept", &kept, 9, last).await;
    assert_eq!(complete(&after, "kept", &kept, &[(1, &first_tag), (9, &last_tag)]).await.0, 200);
    drop(after);

    let again = open(dir.path()).await;
    let got = send(&again, Ask { key: "kept", ..Ask::default() }).await;
    assert!(got.body == [&first, last].concat());
    assert_eq!(got.header("x-oss-object-type"), Some("Multipart"));
    assert_eq!(told(&send(&again, Ask { method: "DELETE", ..Ask::default() }).await), (409, "BucketNotEmpty".to_owned()));
    send(&again, Ask { method: "DELETE", key: "kept", ..Ask::default() }).await;
    // An upload that is not finished keeps its bucket, too.
    assert_eq!(told(&send(&again, Ask { method: "DELETE", ..Ask::default() }).await), (409, "BucketNotEmpty".to_owned()));
    assert_eq!(listed(&again), [("bucket", "shop".to_owned()), ("multipart_upload", uploads[1].clone())]);
    let query = [("uploadId", dropped.as_str())];
    assert_eq!(send(&again, Ask { method: "DELETE", key: "dropped", query: &query, ..Ask::default() }).await.status, 204);
    assert_eq!(send(&again, Ask { method: "DELETE", ..Ask::default() }).await.status, 204);
    sleep(10).await;
    assert_eq!((listed(&again), files(dir.path())), (Vec::new(), 0));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_nothing_names_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let caller = open(dir.path()).await;
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    let put = |key, body| Ask { method: "PUT", key, body, ..Ask::default() };
    // The same bytes three times: as two objects and as a part.
    send(&caller, put("a", b"same")).await;
    send(&caller, put("b", b"same")).await;
    let id = begin(&caller, "c").await;
    let part = upload(&caller, "c", &id, 1, b"same").await;
    assert_eq!(files(dir.path()), 1);
    // Refused: its bytes are not kept.
    let forbidden = [("x-oss-forbid-overwrite", "true")];
    assert_eq!(send(&caller, Ask { headers: &forbidden, ..put("a", b"other") }).await.status, 409);
    send(&caller, Ask { method: "DELETE", key: "a", ..Ask::default() }).await;
    send(&caller, put("b", b"new")).await;
    sleep(10).await;
    assert_eq!(files(dir.path()), 2);
    assert_eq!(complete(&caller, "c", &id, &[(1, &part)]).await.0, 200);
    assert_eq!(send(&caller, Ask { key: "c", ..Ask::default() }).await.body.as_ref(), b"same");
    send(&caller, Ask { method: "DELETE", key: "c", ..Ask::default() }).await;
    sleep(10).await;
    assert_eq!(files(dir.path()), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_completed_as_it_was_made_or_not_at_all() {
    let caller = caller();
    send(&caller, Ask { method: "PUT", ..Ask::default() }).await;
    let id = begin(&caller, "a").await;
    let large = upload(&caller, "a", &id, 2, &vec![1; LARGE]).await;
    let small = upload(&caller, "a", &id, 3, &vec![2; LARGE - 1]).await;
    let end = upload(&caller, "a", &id, 10_000, b"").await;
    let refused = async |parts: &[(u32, &str)]| complete(&caller, "a", &id, parts).await;
    assert_eq!(refused(&[(3, &small), (2, &large)]).await, (400, "InvalidPartOrder".to_owned()));
    assert_eq!(refused(&[(2, &large), (2, &large)]).await, (400, "InvalidPartOrder".to_owned()));
    assert_eq!(refused(&[(2, &small)]).await, (400, "InvalidPart".to_owned()));
    assert_eq!(refused(&[(1, &large)]).await, (400, "InvalidPart".to_owned()));
    assert_eq!(refused(&[(2, &large), (3, &small), (10_000, &end)]).await, (400, "EntityTooSmall".to_owned()));
    assert_eq!(refused(&[]).await, (400, "MalformedXML".to_owned()));
    for (number, key) in [("0", "a"), ("10001", "a"), ("x", "a")] {
        let query = [("partNumber", number), ("uploadId", id.as_str())];
        let response = send(&caller, Ask { method: "PUT", key, query: &query, ..Ask::default() }).await;
        assert_eq!(told(&response), (400, "InvalidArgument".to_owned()), "{number}");
    }
    // An upload is that of its key.
    assert_eq!(complete(&caller, "b", &id, &[(2, &large)]).await, (404, "NoSuchUpload".to_owned()));
    let query = [("uploadId", id.as_str())];
    let both = [("x-oss-complete-all", "yes")];
    let ask = Ask { method: "POST", key: "a", query: &query, headers: &both, body: b"<CompleteMultipartUpload/>", ..Ask::default() };
    assert_eq!(told(&send(&caller, ask).await), (400, "InvalidArgument".to_owned()));
    // Nothing of all that took the upload away, and parts that are not named are dropped with it.
    assert_eq!(refused(&[(2, &large), (10_000, &end)]).await.0, 200);
    let head = send(&caller, Ask { method: "HEAD", key: "a", ..Ask::default() }).await;
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    assert!(head.header("etag").is_some_and(|etag| etag.len() == 36 && etag.ends_with("-2\"")));
    assert_eq!(head.header("content-md5"), None);
    assert_eq!(refused(&[(2, &large)]).await, (404, "NoSuchUpload".to_owned()));
}
