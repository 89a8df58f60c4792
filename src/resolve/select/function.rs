//! What a function of Function Compute can have: vCPU, memory, an accelerator, an image. Pure; what comes into question
//! is decided here for the offer and for the function alike, so that the two can't differ.
//!
//! Source: Function Compute, instance types and specifications, 2026-04; GPUConfig of its API reference, 2026-06; function
//! runtime selection ("GPU instances: built-in and custom runtimes no, custom containers yes").

use rust_decimal::Decimal;

use super::wants::Accelerators;
use crate::manifest::Gpu;

/// What a function has that says nothing of it: vCPU in hundredths, MiB.
const USUAL: (u64, u64) = (100, 2048);
/// The same with an accelerator: less could not feed it.
const USUAL_BESIDE_GPU: (u64, u64) = (400, 16_384);
/// The least and the most of a function, and the steps: vCPU in hundredths, MiB. Source: CreateFunction.
const CPU: Steps = Steps { least: 5, most: 1600, step: 5 };
const MEMORY: Steps = Steps { least: 128, most: 32_768, step: 64 };

struct Steps {
    least: u64,
    most: u64,
    step: u64,
}

impl Steps {
    /// The next one that is not below.
    fn up(&self, wanted: u64) -> u64 {
        wanted.next_multiple_of(self.step).max(self.least)
    }
}

/// A card that functions can have, as a whole: parts of cards are not sold any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Card {
    /// `fc.gpu.tesla.1`.
    pub kind: &'static str,
    /// Its model, where the service names one: for the others it tells the series only.
    pub model: Option<&'static str>,
    /// GiB of its own memory.
    pub memory: u32,
    /// What goes with it: any pair up to these (vCPU in hundredths, MiB), or one of a few.
    room: Room,
}

#[derive(Debug, PartialEq, Eq)]
enum Room {
    UpTo(u64, u64),
    /// vCPU in hundredths, MiB.
    OneOf(&'static [u64], &'static [u64]),
}

/// The cards, the smallest first.
const CARDS: &[Card] = &[
    Card { kind: "fc.gpu.tesla.1", model: Some("NVIDIA T4"), memory: 16, room: Room::UpTo(800, 32_768) },
    Card { kind: "fc.gpu.ampere.1", model: Some("NVIDIA A10"), memory: 24, room: Room::UpTo(800, 32_768) },
    Card { kind: "fc.gpu.ada.2", model: None, memory: 24, room: Room::OneOf(&[800, 1600], &[32_768, 65_536]) },
    Card { kind: "fc.gpu.ada.1", model: None, memory: 48, room: Room::OneOf(&[400, 800, 1600], &[32_768, 65_536, 98_304]) },
    Card { kind: "fc.gpu.ada.3", model: None, memory: 48, room: Room::OneOf(&[800, 1600], &[65_536, 98_304]) },
];

impl Card {
    /// The card that is meant: by its model, or by the service's own name of the series. Without either the smallest.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    pub fn of(gpu: &Accelerators) -> Result<&'static Card, String> {
        if gpu.count > 1 {
            return Err("a function is made with one GPU here".to_owned());
        }
        let Some(wanted) = &gpu.model else { return Ok(&CARDS[0]) };
        let is = |card: &&Card| card.kind == wanted || card.model.is_some_and(|model| gpu.is_model(model));
        CARDS.iter().find(is).ok_or_else(|| {
            let known = |card: &Card| format!("`{}`", card.model.unwrap_or(card.kind));
            format!("functions have no GPU `{wanted}`: they have {}", CARDS.iter().map(known).collect::<Vec<_>>().join(", "))
        })
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.model.unwrap_or(self.kind)
    }

    /// MiB of its own memory.
    pub fn mebibytes(&self) -> u32 {
        self.memory * 1024
    }
}

/// What a manifest asks for, as a product is asked for it.
pub fn accelerators(gpu: &Gpu) -> Accelerators {
    Accelerators { model: gpu.model.as_ref().map(|model| model.value.clone()), count: gpu.count }
}

/// vCPU in hundredths, and MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// vCPU in hundredths.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
}

impl Size {
    /// The smallest that has at least so much, beside a card if there is one; none if there is none.
    pub fn fitting(cpu: Option<u64>, memory: Option<u64>, card: Option<&Card>) -> Option<Size> {
        let usual = if card.is_some() { USUAL_BESIDE_GPU } else { USUAL };
        if let Some(Card { room: Room::OneOf(cpus, memories), .. }) = card {
            let next = |steps: &[u64], wanted: u64| steps.iter().copied().find(|step| *step >= wanted);
            let (cpu, memory) = (next(cpus, cpu.unwrap_or(usual.0))?, next(memories, memory.unwrap_or(usual.1))?);
            return Some(Size { cpu, memory });
        }
        let size = Size::at_least(cpu, memory, usual);
        let most = match card.map(|card| &card.room) {
            Some(Room::UpTo(cpu, memory)) => (*cpu, *memory),
            _ => (CPU.most, MEMORY.most),
        };
        (size.cpu <= most.0 && size.memory <= most.1).then_some(size)
    }

    /// The smallest pair with at least so much: a vCPU goes with 1 to 4 GiB. What is left out follows from the other.
    fn at_least(cpu: Option<u64>, memory: Option<u64>, usual: (u64, u64)) -> Size {
        let (cpu, memory) = match (cpu, memory) {
            (None, None) => usual,
            (Some(cpu), None) => (cpu, cpu * 2048 / 100),
            (None, Some(memory)) => ((memory * 100).div_ceil(2048), memory),
            (Some(cpu), Some(memory)) => (cpu, memory),
        };
        let memory = MEMORY.up(memory);
        let cpu = CPU.up(cpu.max((memory * 100).div_ceil(4096)));
        Size { cpu, memory: MEMORY.up(memory.max((cpu * 1024).div_ceil(100))) }
    }

    /// vCPU.
    pub fn vcpu(self) -> Decimal {
        Decimal::new(i64::try_from(self.cpu).unwrap_or(i64::MAX), 2).normalize()
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} vCPU, {} GiB", self.vcpu(), (Decimal::from(self.memory) / Decimal::from(1024)).normalize())
    }
}

/// The most that a function has, in words.
pub fn most(card: Option<&Card>) -> String {
    match card {
        None => "a function has at most 16 vCPU and 32 GiB, with 1 to 4 GiB for each vCPU".to_owned(),
        Some(card) => {
            let (cpu, memory) = match &card.room {
                Room::UpTo(cpu, memory) => (*cpu, *memory),
                Room::OneOf(cpus, memories) => (cpus.last().copied().unwrap_or(0), memories.last().copied().unwrap_or(0)),
            };
            format!("a function with `{}` has at most {}", card.kind, Size { cpu, memory })
        }
    }
}

/// Why a function with a GPU is not made without an image.
pub const NO_IMAGE: &str = "a function with a GPU is a container, and the job names no image";

/// What to do about an image that is missing or lies elsewhere.
pub fn image_hint(region: &str) -> String {
    format!(
        "push an image with Python to a Container Registry of your own in `{region}`, and name it: `image: registry.{region}.aliyuncs.com/you/train:1`"
    )
}

/// What is wrong with an image that functions of the region can't be made of.
pub fn elsewhere(image: &str, region: &str) -> String {
    format!("`fc` makes functions only of images in a Container Registry of `{region}`, and `{image}` is in none")
}

/// Whether functions of the region can be made of the image: it has to lie in a registry of the region. Source: Function
/// Compute, custom containers ("an image that resides in the same region and belongs to the same account").
pub fn is_in_registry(image: &str, region: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    let ends = |suffix: String| host.strip_suffix(suffix.as_str()).is_some_and(|rest| !rest.is_empty());
    let own = host.contains("registry") && (ends(format!(".{region}.aliyuncs.com")) || ends(format!(".{region}.cr.aliyuncs.com")));
    (own || ends(format!(".{region}.personal.cr.aliyuncs.com"))) && image.split('/').count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(model: Option<&str>) -> Result<&'static Card, String> {
        Card::of(&Accelerators { model: model.map(str::to_owned), count: 1 })
    }

    #[test]
    fn needs_become_the_smallest_pair_that_a_function_can_have() {
        let size = |cpu: Option<u64>, memory: Option<u64>| Size::fitting(cpu.map(|cpu| cpu * 100), memory, None).unwrap().to_string();
        for (cpu, memory, expected) in [
            (None, None, "1 vCPU, 2 GiB"),
            (Some(2), None, "2 vCPU, 4 GiB"),
            (None, Some(512), "0.25 vCPU, 0.5 GiB"),
            (None, Some(1), "0.05 vCPU, 0.125 GiB"),
            (Some(2), Some(4096), "2 vCPU, 4 GiB"),
            // More than 4 GiB for each vCPU: more vCPU. Less than 1: more memory.
            (Some(1), Some(8192), "2 vCPU, 8 GiB"),
            (Some(8), Some(4096), "8 vCPU, 8 GiB"),
            (Some(1), Some(1025), "1 vCPU, 1.0625 GiB"),
        ] {
            assert_eq!(size(cpu, memory), expected);
        }
        assert!(Size::fitting(Some(1600), None, None).is_some());
        assert!(Size::fitting(Some(1700), None, None).is_none() && Size::fitting(None, Some(32_769), None).is_none());
    }

    #[test]
    fn every_pair_is_one_that_the_service_takes() {
        for cpu in (0..=16).map(|cpu| (cpu > 0).then_some(cpu * 100)) {
            for memory in (0..=32_768).step_by(129).map(|memory| (memory > 0).then_some(memory)) {
                let size = Size::at_least(cpu, memory, USUAL);
                assert!(size.cpu * 1024 <= size.memory * 100 && size.memory * 100 <= size.cpu * 4096, "{cpu:?} {memory:?}: {size}");
                assert!(size.cpu >= cpu.unwrap_or(0) && size.memory >= memory.unwrap_or(0));
                assert!(size.cpu.is_multiple_of(5) && size.memory.is_multiple_of(64) && size.memory >= 128, "{size}");
            }
        }
    }

    #[test]
    fn a_card_is_meant_by_its_model_or_its_series_and_what_goes_with_it_has_limits() {
        for (model, kind) in [
            (None, "fc.gpu.tesla.1"),
            (Some("T4"), "fc.gpu.tesla.1"),
            (Some("NVIDIA A10"), "fc.gpu.ampere.1"),
            (Some("fc.gpu.ada.1"), "fc.gpu.ada.1"),
        ] {
            assert_eq!(card(model).unwrap().kind, kind);
        }
        assert!(card(Some("NVIDIA V100")).unwrap_err().contains("`NVIDIA T4`, `NVIDIA A10`, `fc.gpu.ada.2`"));
        assert!(Card::of(&Accelerators { model: None, count: 2 }).is_err());
        let size = |model, cpu: Option<u64>, memory| Size::fitting(cpu, memory, card(Some(model)).ok()).map(|size| size.to_string());
        assert_eq!(size("T4", None, None).as_deref(), Some("4 vCPU, 16 GiB"));
        assert_eq!(size("T4", Some(800), Some(32_768)).as_deref(), Some("8 vCPU, 32 GiB"));
        assert_eq!(size("T4", Some(900), None), None);
        assert_eq!(size("fc.gpu.ada.1", Some(500), Some(40_000)).as_deref(), Some("8 vCPU, 64 GiB"));
        assert_eq!(size("fc.gpu.ada.2", None, Some(98_304)), None);
    }

    #[test]
    fn an_image_lies_in_a_registry_of_the_region() {
        for (image, is) in [
            ("registry.cn-hangzhou.aliyuncs.com/lab/train:1", true),
            ("registry-vpc.cn-hangzhou.aliyuncs.com/lab/train", true),
            ("lab-registry.cn-hangzhou.cr.aliyuncs.com/lab/train:1", true),
            ("crpi-0123.cn-hangzhou.personal.cr.aliyuncs.com/lab/train:1", true),
            ("registry.cn-beijing.aliyuncs.com/lab/train:1", false),
            ("registry.cn-hangzhou.aliyuncs.com/train:1", false),
            ("pytorch/pytorch:2.8", false),
        ] {
            assert_eq!(is_in_registry(image, "cn-hangzhou"), is, "{image}");
        }
    }
}
