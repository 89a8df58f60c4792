//! The token that makes a repeated call happen once.

use sha2::{Digest, Sha256};

use crate::model::address::Address;

/// The `ClientToken` of the call that an intent announces: 64 ASCII characters, the most that the services take.
///
/// It depends on nothing but its arguments, so a call repeated after a crash carries the token of the first one.
pub fn client_token(lineage: &str, address: &Address, generation: u64) -> String {
    hex::encode(Sha256::digest(format!("aliform token 1\n{lineage}\n{address}\n{generation}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Kind;

    #[test]
    fn the_token_is_the_same_in_every_version_of_aliform() {
        // From `printf 'aliform token 1\nabc\nvpc.main\n7' | sha256sum`. A change would create twice what an older
        // version had begun.
        let token = client_token("abc", &Address::new(Kind::Vpc, "main"), 7);
        assert_eq!(token, "7b6364cd2773851df8dc841eea77296a131dc329ec72c65d82a3750983161cc4");
    }

    #[test]
    fn every_part_makes_another_token() {
        let web = Address::new(Kind::Instance, "web-1");
        let other = Address::new(Kind::Instance, "web-11");
        let tokens = [client_token("a", &web, 1), client_token("b", &web, 1), client_token("a", &other, 1), client_token("a", &web, 2)];
        assert!(tokens.iter().all(|token| token.len() <= 64 && token.is_ascii()));
        assert_eq!(std::collections::BTreeSet::from(tokens).len(), 4);
    }
}
