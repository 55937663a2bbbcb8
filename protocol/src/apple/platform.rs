//! Which of Apple's platforms a device belongs to, from the hardware name that it sends.

/// The platform of a hardware name such as `Mac15,3` or `iPhone15,2`, in the words that Fleet's API uses: `darwin`, `ios`,
/// `ipados`, `tvos`, `watchos`, `visionos`; empty when the name tells nothing.
pub fn platform(hardware: &str) -> &'static str {
    const FAMILIES: [(&str, &str); 9] = [
        ("iPhone", "ios"),
        ("iPod", "ios"),
        ("iPad", "ipados"),
        ("AppleTV", "tvos"),
        ("Watch", "watchos"),
        ("RealityDevice", "visionos"),
        ("VirtualMac", "darwin"),
        ("iMac", "darwin"),
        ("Mac", "darwin"),
    ];
    FAMILIES.into_iter().find(|(family, _)| hardware.starts_with(family)).map_or("", |(_, platform)| platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_of_hardware_has_its_platform() {
        let known = [
            ("MacBookPro18,3", "darwin"),
            ("Mac15,3", "darwin"),
            ("iMac21,1", "darwin"),
            ("VirtualMac2,1", "darwin"),
            ("iPhone15,2", "ios"),
            ("iPad14,1", "ipados"),
            ("AppleTV14,1", "tvos"),
            ("Watch7,1", "watchos"),
            ("RealityDevice14,1", "visionos"),
            ("Toaster1,1", ""),
        ];
        for (hardware, expected) in known {
            assert_eq!(platform(hardware), expected, "{hardware}");
        }
    }
}
