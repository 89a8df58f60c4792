//! Quantities as Kubernetes writes them: `500m`, `1.5`, `64Mi`, `2e3`.

/// A quantity in thousandths, rounded up; `None` if it is none.
pub(crate) fn read(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.contains('.') || whole.len() > 15 || part.len() > 9 {
        return None;
    }
    let digits: u128 = format!("0{whole}{part}").parse().ok()?;
    let below = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let factor: u128 = match unit {
        "n" => return Some(digits.div_ceil(below * 1_000_000)),
        "u" => return Some(digits.div_ceil(below * 1000)),
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000_u128.pow(2),
        "G" => 1000 * 1000_u128.pow(3),
        "T" => 1000 * 1000_u128.pow(4),
        "P" => 1000 * 1000_u128.pow(5),
        "Ki" => 1000 * 1024,
        "Mi" => 1000 * 1024_u128.pow(2),
        "Gi" => 1000 * 1024_u128.pow(3),
        "Ti" => 1000 * 1024_u128.pow(4),
        "Pi" => 1000 * 1024_u128.pow(5),
        _ => {
            let power: u32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
            if power > 15 {
                return None;
            }
            1000 * 10_u128.pow(power)
        }
    };
    Some((digits * factor).div_ceil(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_many_spellings() {
        for (text, thousandths) in
            [("500m", 500), ("1.5", 1500), ("0.1", 100), (".5", 500), ("2e3", 2_000_000), ("1Ki", 1_024_000), ("1k", 1_000_000)]
        {
            assert_eq!(read(text), Some(thousandths), "{text}");
        }
        assert_eq!(read("64Mi"), Some(64 * 1024 * 1024 * 1000));
        assert_eq!(read("1u"), Some(1));
        for text in ["", "m", "1.2.3", "-1", "1Q", "ten", "1e99"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
