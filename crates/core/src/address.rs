//! Tells addresses of the Internet from others, so that nobody has this machine send into its own network.

use std::net::IpAddr;

/// True if an address may be that of a client somewhere in the Internet. Documentation's addresses may: nobody has them.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => match address.octets() {
            // This network, and what is reserved.
            [0 | 224.., ..] => false,
            // RFC 6598: between a provider and its customers.
            [100, 64..128, ..] => false,
            // RFC 2544: between machines that are measured.
            [198, 18..20, ..] => false,
            // Services of clouds for their own machines, such as metadata, that are not link-local: Azure's, and Oracle's in the
            // block of RFC 6890 that no host has.
            [168, 63, 129, 16] | [192, 0, 0, _] => false,
            _ => !address.is_loopback() && !address.is_private() && !address.is_link_local(),
        },
        IpAddr::V6(address) => match address.segments() {
            // 6to4 and Teredo addresses lead to the IPv4 address that they hold.
            [0x2002, ..] | [0x2001, 0, ..] => false,
            // Only 2000::/3 is assigned.
            [first, ..] => first & 0xE000 == 0x2000,
        },
    }
}

/// True if a machine can have an address. Others are those of no machine, of groups, or of all machines.
pub fn is_of_machine(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !matches!(address.octets(), [0 | 224.., ..]),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_nobody_are_no_machines() {
        for address in
            ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:224.0.0.1"]
        {
            assert!(!is_of_machine(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "169.254.1.2", "1.1.1.1", "::1", "fe80::1", "2001:db8::1"] {
            assert!(is_of_machine(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("203.0.113.5", true),
            ("2606:4700::1111", true),
            ("2001:db8::1", true),
            ("::ffff:1.1.1.1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("192.0.0.192", false),
            ("192.0.2.1", true),
            ("100.64.0.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
            ("2001:0:1::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:168.63.129.16", false),
            ("::127.0.0.1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
