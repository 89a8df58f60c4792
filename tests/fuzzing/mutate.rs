//! Changes seeds, a little or a lot, from a number that repeats it.

/// A small generator of even numbers (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Values that programs stumble over.
const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e400",
    "NaN",
    "0.1",
    "true",
    "False",
    "null",
    "[]",
    "{}",
    "[\"\"]",
    "[1]",
    "{\"a\":1}",
    "[[[[[[[[",
    "%00",
    "%FF",
    "%",
    "%2",
    "%25",
    "a+b",
    "中",
    "%F0%9F%98%80",
    "..",
    "/",
    "//",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "255.255.255.255/32",
    "::/0",
    "1.2.3.4",
    "65535/1",
    "1/65536",
    "-1/-1",
    "1/",
    "2026-01-02T03:04Z",
    "2026-01-02T03:04:05Z",
    "9999-12-31T23:59:59Z",
    "0000-00-00T00:00:00Z",
    "-009999-01-01T00:00:00Z",
    "Fri, 02 Jan 2026 03:04:05 GMT",
    "cn-hangzhou",
    "cn-hangzhou-h",
    "cn-hangzhou-zz",
    "ecs.u1-c1m2.large",
    "${VpcId}",
    "${InstanceId}",
    "${RequestId}",
    "aGVsbG8=",
    "=",
    "&",
    "bytes=0-",
    "bytes=-1",
    "bytes=5-1",
    "bytes=18446744073709551615-",
    "<a>&amp;</a>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    "*",
    "?",
];

const BYTES: &[u8] = b"\0\n\r\t %&=+/?#:;,.\"'[]{}()<>\\|~-_\x7f\x80\xc3\xff09aZ$";

/// A seed changed.
pub(crate) fn mutate(dice: &mut Dice, seeds: &[Vec<u8>], names: &[String]) -> Vec<u8> {
    let mut data = dice.pick(seeds).clone();
    for _ in 0..=dice.below(4) {
        change(dice, &mut data, seeds, names);
    }
    data.truncate(64 * 1024);
    data
}

fn change(dice: &mut Dice, data: &mut Vec<u8>, seeds: &[Vec<u8>], names: &[String]) {
    match dice.below(10) {
        // A value, three times as often as anything else.
        0..=2 => set_value(dice, data),
        3 => {
            let pair = format!("&{}={}", dice.pick(names), dice.pick(VALUES));
            let at = place_after(dice, data, b"=&?\t");
            data.splice(at..at, pair.into_bytes());
        }
        4 => {
            let at = dice.below(data.len());
            if let Some(byte) = data.get_mut(at) {
                *byte = *dice.pick(BYTES);
            }
        }
        5 => {
            let at = dice.below(data.len() + 1);
            data.insert(at, *dice.pick(BYTES));
        }
        6 => {
            let from = dice.below(data.len());
            let upto = (from + dice.below(40)).min(data.len());
            data.drain(from..upto);
        }
        7 => {
            let from = dice.below(data.len());
            let upto = (from + dice.below(200)).min(data.len());
            let part = data[from..upto].to_vec();
            let times = 1 + dice.below(8);
            data.splice(upto..upto, part.repeat(times));
        }
        8 => {
            let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
            let (one, two) = (dice.below(lines.len()), dice.below(lines.len()));
            lines.swap(one, two);
            *data = lines.join(&b'\n');
        }
        _ => {
            let other = dice.pick(seeds);
            let lines: Vec<&[u8]> = other.split(|byte| *byte == b'\n').collect();
            let line = dice.pick(&lines);
            data.push(b'\n');
            data.extend_from_slice(line);
        }
    }
}

/// Replaces what follows an equals sign, a colon or a tab.
fn set_value(dice: &mut Dice, data: &mut Vec<u8>) {
    let from = place_after(dice, data, b"=:\t");
    let length = data[from..].iter().position(|byte| b"&\t\n,;".contains(byte)).unwrap_or(data.len() - from);
    let long = dice.below(20) == 0;
    let value = if long { "x".repeat(1 + dice.below(5000)) } else { (*dice.pick(VALUES)).to_owned() };
    data.splice(from..from + length, value.into_bytes());
}

/// A place behind one of the marks: mostly in the last lines, because what comes before only makes what they need.
fn place_after(dice: &mut Dice, data: &[u8], marks: &[u8]) -> usize {
    let start = if dice.below(4) == 0 { 0 } else { last_lines(data, 17) };
    let places: Vec<usize> = (start..data.len()).filter(|at| marks.contains(&data[*at])).map(|at| at + 1).collect();
    if places.is_empty() { data.len() } else { *dice.pick(&places) }
}

/// Where the last lines start.
fn last_lines(data: &[u8], count: usize) -> usize {
    let ends = data.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.take(count + 1).last().unwrap_or_default()
}
