//! Which hosts lie on the mainland, and the hosts in the words of a command.

use super::Reach;

/// Domains of the mainland besides those that end with `.cn`.
const MAINLAND: &[&str] = &[
    "aliyun.com",
    "aliyuncs.com",
    "alicdn.com",
    "npmmirror.com",
    "gitee.com",
    "gitcode.com",
    "huaweicloud.com",
    "myhuaweicloud.com",
    "tencent.com",
    "tencentyun.com",
    "myqcloud.com",
    "qq.com",
    "baidu.com",
    "bcebos.com",
    "volces.com",
    "163.com",
    "126.net",
    "douban.com",
    "daocloud.io",
    "hf-mirror.com",
    "goproxy.io",
    "taobao.org",
    "qiniu.com",
];

/// How far a host is away.
pub(super) fn reach(host: &str) -> Reach {
    let host = host.rsplit('@').next().unwrap_or(host);
    let host = host.split(':').next().unwrap_or(host).to_ascii_lowercase();
    let private = ["127.", "10.", "192.168.", "100.100.", "169.254."].iter().any(|start| host.starts_with(start))
        || host
            .strip_prefix("172.")
            .and_then(|rest| rest.split('.').next()?.parse::<u8>().ok())
            .is_some_and(|part| (16..32).contains(&part));
    let inside = [".internal", ".local", "-internal.aliyuncs.com", "mirrors.cloud.aliyuncs.com", "mirrors.aliyuncs.com"];
    if private || !host.contains('.') || inside.iter().any(|end| host.ends_with(end)) || host.contains("registry-vpc.") {
        return Reach::Inside;
    }
    let is = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if host.ends_with(".cn") || MAINLAND.iter().any(|domain| is(domain)) { Reach::Mainland } else { Reach::Overseas }
}

/// The host of an address, `https://host/path`, `git@host:path`, `--index-url=https://host`, or one without a scheme.
fn host_of(word: &str) -> Option<&str> {
    if let Some((_, rest)) = word.split_once("://") {
        return rest.split(['/', '?', '#', '\'', '"', ' ', ')', '&', '<']).next().filter(|host| !host.is_empty() && !host.contains('$'));
    }
    let (user, rest) = word.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    (user == "git" && host.contains('.')).then_some(host)
}

/// How far the farthest host in the words is away, if there is one.
pub(super) fn farthest<'a>(words: impl Iterator<Item = &'a str>) -> Option<Reach> {
    words.filter_map(host_of).map(reach).max()
}

/// How far the nearest host in the words is away, if one of them is not overseas.
pub(super) fn nearest<'a>(words: impl Iterator<Item = &'a str>) -> Option<Reach> {
    words.filter_map(host_of).map(reach).min().filter(|reach| *reach < Reach::Overseas)
}

/// How far the registry of an image is away; what names none is Docker Hub's.
pub(super) fn of_image(image: &str) -> Reach {
    let image = image.split_once("://").map_or(image, |(_, rest)| rest);
    match image.split_once('/') {
        Some((host, _)) if host.contains('.') || host.contains(':') || host == "localhost" => reach(host),
        _ => Reach::Overseas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_by_their_ends() {
        for (host, expected) in [
            ("github.com", Reach::Overseas),
            ("gitee.com", Reach::Mainland),
            ("notgitee.com", Reach::Overseas),
            ("mirrors.aliyun.com", Reach::Mainland),
            ("mirrors.tuna.tsinghua.edu.cn", Reach::Mainland),
            ("aliyun.com.example.org", Reach::Overseas),
            ("bucket.oss-cn-hangzhou-internal.aliyuncs.com", Reach::Inside),
            ("localhost:8080", Reach::Inside),
            ("172.20.0.1", Reach::Inside),
            ("user:secret@pypi.org", Reach::Overseas),
        ] {
            assert_eq!(reach(host), expected, "{host}");
        }
        assert_eq!(of_image("python:3.12"), Reach::Overseas);
        assert_eq!(of_image("registry-vpc.cn-hangzhou.aliyuncs.com/a/b:1"), Reach::Inside);
        assert_eq!(of_image("registry.cn-hangzhou.aliyuncs.com/a/b:1"), Reach::Mainland);
        assert_eq!(of_image("ghcr.io/a/b"), Reach::Overseas);
        assert_eq!(farthest(["git@github.com:a/b.git"].into_iter()), Some(Reach::Overseas));
        assert_eq!(farthest(["a@b", "x.py"].into_iter()), None);
    }
}
