//! What the local cloud sells: regions, zones, instance types, images, disks and their list prices. Read-only facts
//! from the tables beside this file; what they do not know is unknown here too, never zero.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rust_decimal::Decimal;

/// A region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) id: &'static str,
    pub(crate) city: &'static str,
    /// Its name in Chinese, as descriptions have it unless another language is asked for.
    pub(crate) chinese: &'static str,
    pub(crate) mainland: bool,
    /// Whether it is open for anyone.
    pub(crate) active: bool,
    pub(crate) zones: Vec<String>,
}

/// An instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceType {
    /// `ecs.u1-c1m2.large`.
    pub(crate) name: String,
    /// `ecs.u1`.
    pub(crate) family: String,
    pub(crate) vcpu: u32,
    pub(crate) memory_mib: u64,
    pub(crate) gpus: u32,
    /// `NVIDIA T4`; empty without one.
    pub(crate) gpu: &'static str,
    /// `X86` or `ARM`.
    pub(crate) architecture: &'static str,
    /// `EntryLevel`, `EnterpriseLevel` or `CreditEntryLevel`.
    pub(crate) level: &'static str,
    /// CNY an hour by region; a region that is missing does not sell it.
    pub(crate) prices: BTreeMap<&'static str, Decimal>,
}

impl InstanceType {
    /// How new the family is: the last number of its name, `7` for `ecs.g7`.
    pub(crate) fn generation(&self) -> u32 {
        let digits: String =
            self.family.chars().skip_while(|c| *c != '.').skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(1)
    }

    /// The series of the family, `ecs-5`. Since the fourth they trail the generation by one: g6 is of the fifth.
    pub(crate) fn series(&self) -> String {
        let generation = self.generation();
        format!("ecs-{}", if generation > 4 { generation - 1 } else { generation })
    }

    /// The memory in GiB, as descriptions and parameters give it.
    pub(crate) fn memory_gib(&self) -> Decimal {
        Decimal::from(self.memory_mib) / Decimal::from(1024)
    }

    /// `GPU`, `High Clock Speed` and so on; only what the name tells.
    pub(crate) fn category(&self) -> &'static str {
        let name = self.family.trim_start_matches("ecs.");
        match () {
            () if self.gpus > 0 => "GPU Accelerated",
            () if name.starts_with("hf") => "High Clock Speed",
            () if name.starts_with("eb") => "Bare Metal",
            () if self.level != "EnterpriseLevel" => "Shared",
            () if self.memory_mib >= u64::from(self.vcpu) * 8 * 1024 => "Memory Optimized",
            () if self.memory_mib <= u64::from(self.vcpu) * 2 * 1024 => "Compute Optimized",
            () => "General Purpose",
        }
    }

    /// Whether an image of that architecture, as DescribeImages names it, runs on it.
    pub(crate) fn runs(&self, image_architecture: &str) -> bool {
        (self.architecture == "ARM") == (image_architecture == "arm64")
    }
}

/// A public image, the newest of its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) id: String,
    /// `acs:ubuntu_24_04_x64`.
    pub(crate) family: String,
    pub(crate) os_name: &'static str,
    pub(crate) platform: &'static str,
    /// `x86_64`, `arm64` or `i386`.
    pub(crate) architecture: &'static str,
    pub(crate) size_gib: u32,
}

/// A disk category, and within `cloud_essd` a performance level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskKind {
    pub(crate) category: &'static str,
    /// `PL0` and so on; empty where there are none.
    pub(crate) level: &'static str,
    /// Smallest and largest system disk, GiB.
    pub(crate) system: Option<(u32, u32)>,
    /// Smallest and largest data disk, GiB.
    pub(crate) data: Option<(u32, u32)>,
}

#[derive(Clone, Debug)]
struct Tariff {
    place: &'static str,
    item: &'static str,
    unit: &'static str,
    rate: Decimal,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) regions: BTreeMap<&'static str, Region>,
    pub(crate) types: BTreeMap<String, InstanceType>,
    /// By image id.
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) disks: Vec<DiskKind>,
    tariffs: Vec<Tariff>,
}

static EMBEDDED: LazyLock<Catalog> = LazyLock::new(|| Catalog::read().expect("the embedded tables are read by a test"));

impl Catalog {
    /// The one that is built in.
    pub(crate) fn embedded() -> &'static Catalog {
        &EMBEDDED
    }

    fn read() -> Option<Catalog> {
        let images = rows(include_str!("images.tsv")).map(image).collect::<Option<Vec<_>>>()?;
        Some(Catalog {
            regions: rows(include_str!("regions.tsv")).map(region).collect::<Option<_>>()?,
            types: types(include_str!("instance_types.tsv"))?,
            images: images.into_iter().map(|image| (image.id.clone(), image)).collect(),
            disks: rows(include_str!("disks.tsv")).map(disk).collect::<Option<_>>()?,
            tariffs: rows(include_str!("tariffs.tsv")).map(tariff).collect::<Option<_>>()?,
        })
    }

    /// The region that a zone is in.
    pub(crate) fn region_of_zone(&self, zone: &str) -> Option<&Region> {
        self.regions.values().find(|region| region.zones.iter().any(|known| known == zone))
    }

    /// The image of a family.
    pub(crate) fn image_of_family(&self, family: &str) -> Option<&Image> {
        self.images.values().find(|image| image.family == family)
    }

    /// The disk of a category and level; a level that is left out is the usual one.
    pub(crate) fn disk(&self, category: &str, level: &str) -> Option<&DiskKind> {
        let level = if category == "cloud_essd" && level.is_empty() { "PL1" } else { level };
        self.disks.iter().find(|disk| disk.category == category && (disk.level == level || disk.level.is_empty()))
    }

    /// A rate in CNY, `None` if nobody published one. The unit is the tariff table's, `GiB-hour`.
    pub(crate) fn rate(&self, region: &str, item: &str, unit: &str) -> Option<Decimal> {
        let area = if self.regions.get(region)?.mainland { "mainland" } else { "overseas" };
        self.tariffs
            .iter()
            .find(|tariff| tariff.item == item && tariff.unit == unit && (tariff.place == region || tariff.place == area))
            .map(|tariff| tariff.rate)
    }
}

/// The lines that are not comments, cut at tabs.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| line.split('\t').collect())
}

fn region(row: Vec<&'static str>) -> Option<(&'static str, Region)> {
    let [id, city, chinese, area, status, zones] = row.try_into().ok()?;
    let zones = zones.split_whitespace().map(|suffix| format!("{id}{suffix}")).collect();
    Some((id, Region { id, city, chinese, mainland: area == "m", active: status == "active", zones }))
}

fn image(row: Vec<&'static str>) -> Option<Image> {
    let [family, os_name, platform, architecture, size, published] = row.try_into().ok()?;
    let id = if published.is_empty() { format!("{family}_{size}G_alibase_20260601.vhd") } else { published.to_owned() };
    Some(Image { id, family: format!("acs:{family}"), os_name, platform, architecture, size_gib: size.parse().ok()? })
}

fn disk(row: Vec<&'static str>) -> Option<DiskKind> {
    let [category, level, rest @ ..] = row.as_slice() else { return None };
    let [system_min, system_max, data_min, data_max] = rest else { return None };
    let range = |from: &str, to: &str| Some((from.parse().ok()?, to.parse().ok()?));
    Some(DiskKind { category, level: level.trim_matches('-'), system: range(system_min, system_max), data: range(data_min, data_max) })
}

fn tariff(row: Vec<&'static str>) -> Option<Tariff> {
    let [place, item, unit, rate] = row.try_into().ok()?;
    Some(Tariff { place, item, unit, rate: rate.parse().ok()? })
}

fn types(table: &'static str) -> Option<BTreeMap<String, InstanceType>> {
    let mut rows = rows(table);
    let header = rows.next()?;
    let regions: Vec<&str> = header.get(1)?.split(' ').collect();
    rows.map(|row| {
        let [name, family, vcpu, memory, gpu, architecture, level, prices] = row.try_into().ok()?;
        let name = format!("ecs.{name}");
        let family = if family.is_empty() { name.rsplit_once('.')?.0.to_owned() } else { format!("ecs.{family}") };
        let (gpus, gpu) = gpu.split_once('x').unwrap_or(("0", ""));
        let memory: Decimal = memory.parse().ok()?;
        let mut last = None;
        let mut sold = BTreeMap::new();
        for (region, price) in regions.iter().zip(prices.split(' ')) {
            match price {
                "=" => {}
                "-" => last = None,
                price => last = Some(price.parse().ok()?),
            }
            sold.extend(last.map(|price: Decimal| (*region, price)));
        }
        let found = InstanceType {
            family,
            vcpu: vcpu.parse().ok()?,
            memory_mib: (memory * Decimal::from(1024)).try_into().ok()?,
            gpus: gpus.parse().ok()?,
            gpu,
            architecture: if architecture == "a" { "ARM" } else { "X86" },
            level: match level {
                "N" => "EntryLevel",
                "C" => "CreditEntryLevel",
                _ => "EnterpriseLevel",
            },
            prices: sold,
            name: name.clone(),
        };
        Some((name, found))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_tables_are_whole() {
        let catalog = Catalog::read().unwrap();
        assert_eq!(catalog.types.len(), 681);
        assert_eq!((catalog.regions.len(), catalog.images.len(), catalog.disks.len()), (34, 240, 12));
        assert_eq!(catalog.regions.values().map(|region| region.zones.len()).sum::<usize>(), 104);
        let burst = &catalog.types["ecs.e-c1m1.large"];
        assert_eq!((burst.family.as_str(), burst.vcpu, burst.memory_mib), ("ecs.e", 2, 2048));
        assert_eq!(burst.prices["cn-chengdu"], Decimal::new(94, 3));
        assert_eq!(burst.prices["ap-southeast-1"], Decimal::new(1238, 4));
        let old = &catalog.types["ecs.c1.large"];
        assert_eq!(old.prices.keys().copied().collect::<Vec<_>>(), ["ap-northeast-1", "cn-guangzhou", "eu-central-1"]);
        assert_eq!(catalog.types["ecs.g7.large"].generation(), 7);
        assert_eq!(catalog.region_of_zone("ap-southeast-1b").unwrap().id, "ap-southeast-1");
    }

    #[test]
    fn rates_are_by_region_or_area_and_unknown_ones_stay_unknown() {
        let catalog = Catalog::embedded();
        assert_eq!(catalog.rate("cn-beijing", "disk:cloud_essd:PL0", "GiB-hour"), Some(Decimal::new(105, 5)));
        assert_eq!(catalog.rate("ap-southeast-1", "disk:cloud_essd:PL1", "GiB-hour"), Some(Decimal::new(1_700_314, 9)));
        assert_eq!(catalog.rate("ap-southeast-1", "disk:cloud_ssd", "GiB-hour"), None);
        assert_eq!(catalog.rate("nowhere", "disk:cloud_ssd", "GiB-hour"), None);
        assert_eq!(catalog.disk("cloud_essd", "").unwrap().level, "PL1");
        assert_eq!(catalog.disk("cloud_auto", "").unwrap().system, Some((1, 2048)));
        assert_eq!(catalog.disk("cloud_regional_disk_auto", "").unwrap().system, None);
    }
}
