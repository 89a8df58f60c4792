//! Ids of the shapes that the real services give, drawn from a seed and a counter.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn draw(seed: u64, what: &str, number: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(what.as_bytes());
    hash.update(number.to_be_bytes());
    hash.finalize().into()
}

/// Three letters that ids of a region start with, `bp1` for Hangzhou.
fn mark(region: &str) -> String {
    let known = match region {
        "cn-hangzhou" => "bp1",
        "cn-beijing" => "2ze",
        "cn-shanghai" => "uf6",
        "cn-shenzhen" => "wz9",
        "cn-hongkong" => "j6c",
        "ap-southeast-1" => "t4n",
        "ap-northeast-1" => "6we",
        "us-west-1" => "rj9",
        "us-east-1" => "0xi",
        "eu-central-1" => "gw8",
        _ => "",
    };
    if known.is_empty() { letters(&draw(0, region, 0), 3) } else { known.to_owned() }
}

fn letters(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// A resource's id, `vpc-bp1...`; `length` counts what follows the dash.
pub(crate) fn resource(seed: u64, number: u64, prefix: &str, region: &str, length: usize) -> String {
    let mark = mark(region);
    format!("{prefix}-{mark}{}", letters(&draw(seed, prefix, number), length - mark.len()))
}

/// The id of a multipart upload, 32 digits.
pub(crate) fn upload(seed: u64, number: u64) -> String {
    hex::encode_upper(&draw(seed, "upload", number)[..16])
}

/// An id without a dash and a region, `dlc1xjcumbfm7aai`; `length` counts what follows the prefix.
pub(crate) fn plain(seed: u64, number: u64, prefix: &str, length: usize) -> String {
    format!("{prefix}{}", letters(&draw(seed, prefix, number), length))
}

/// A number of so many digits that does not start with 0.
pub(crate) fn digits(seed: u64, number: u64, what: &str, count: usize) -> String {
    let digit = |(at, byte): (usize, &u8)| char::from(if at == 0 { b'1' + byte % 9 } else { b'0' + byte % 10 });
    draw(seed, what, number).iter().enumerate().take(count).map(digit).collect()
}

/// A UUID in lower case.
pub(crate) fn uuid(seed: u64, number: u64, what: &str) -> String {
    request(seed, what, number).to_lowercase()
}

/// A request id, `473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E`.
pub(crate) fn request(seed: u64, origin: &str, number: u64) -> String {
    let mut bytes = draw(seed, origin, number);
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = hex::encode_upper(&bytes[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A public address for a resource: inside 127.64.0.0/10, the same every time, the `attempt`th that it may have.
pub(crate) fn public_address(space: &str, id: &str, attempt: u64) -> Ipv4Addr {
    let bytes = draw(attempt, space, 0).into_iter().chain(id.bytes()).collect::<Vec<u8>>();
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    // The last part leaves out 0 and 255, which look like a network and a broadcast.
    Ipv4Addr::new(127, 64 + hash[0] % 64, hash[1], 1 + hash[2] % 254)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shapes_of_the_real_ones() {
        let id = resource(1, 1, "vpc", "cn-hangzhou", 21);
        assert!(id.starts_with("vpc-bp1") && id.len() == 25, "{id}");
        assert_ne!(id, resource(1, 2, "vpc", "cn-hangzhou", 21));
        assert_eq!(id, resource(1, 1, "vpc", "cn-hangzhou", 21));
        let request = request(1, "x", 1);
        assert_eq!(request.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(request, request.to_uppercase());
    }

    #[test]
    fn public_addresses_are_loopback_and_stable() {
        for number in 0..200 {
            let address = public_address("/a", &number.to_string(), 0);
            let [first, second, _, last] = address.octets();
            assert!(first == 127 && (64..128).contains(&second) && last != 0 && last != 255, "{address}");
        }
        assert_eq!(public_address("/a", "i-1", 0), public_address("/a", "i-1", 0));
        assert_ne!(public_address("/a", "i-1", 0), public_address("/b", "i-1", 0));
        assert_ne!(public_address("/a", "i-1", 0), public_address("/a", "i-1", 1));
    }
}
