use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

const SECRET_KEY: [u8; 32] = [0x42; 32];

fn public(secret: &[u8; 32]) -> [u8; 32] {
    let key = <Suite as Kem>::PrivateKey::from_bytes(secret).unwrap();
    Suite::sk_to_pk(&key).to_bytes().into()
}

fn binding() -> Binding {
    Binding {
        organism: OrganismId::from_bits(1),
        agent: AgentId::from_bits(2),
        secret: "deploy-key".parse().unwrap(),
        version: 3,
        scope: "playbook/deploy".to_owned(),
        task: TaskId::from_bits(4),
        fence: Fence { epoch: 1, number: u64::MAX },
    }
}

fn sealed(secret: &[u8]) -> Vec<u8> {
    seal(&public(&SECRET_KEY), &binding(), secret, &mut StdRng::seed_from_u64(1)).unwrap()
}

/// RFC 9180, appendix A.2.1, first message: that this is the suite we say it is.
#[test]
fn the_rfcs_vector_opens() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let key = bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let encapsulated = bytes("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Suite>(
        &OpModeR::Base,
        &<Suite as Kem>::PrivateKey::from_bytes(&key).unwrap(),
        &<Suite as Kem>::EncappedKey::from_bytes(&encapsulated).unwrap(),
        &bytes("4f6465206f6e2061204772656369616e2055726e"),
        &bytes("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"),
        &bytes("436f756e742d30"),
    );
    assert_eq!(opened.unwrap(), b"Beauty is truth, truth beauty");
}

#[test]
fn a_secret_opens_for_its_agent_and_grant_only() {
    let sealed = sealed(b"hunter2");
    assert_eq!(open(&SECRET_KEY, &binding(), &sealed).unwrap().as_slice(), b"hunter2");
    assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
    let others = [
        Binding { organism: OrganismId::from_bits(2), ..binding() },
        Binding { agent: AgentId::from_bits(3), ..binding() },
        Binding { secret: "deploy-kez".parse().unwrap(), ..binding() },
        Binding { version: 4, ..binding() },
        Binding { scope: "playbook/other".to_owned(), ..binding() },
        Binding { task: TaskId::from_bits(5), ..binding() },
        // A number that JSON could not tell from the right one.
        Binding { fence: Fence { epoch: 1, number: u64::MAX - 1 }, ..binding() },
        Binding { fence: Fence { epoch: 2, number: u64::MAX }, ..binding() },
    ];
    for other in others {
        assert_eq!(open(&SECRET_KEY, &other, &sealed), Err(SealError::NotForThis), "{other:?}");
    }
    assert_eq!(open(&[0x43; 32], &binding(), &sealed), Err(SealError::NotForThis));
}

#[test]
fn bounds_and_bad_keys_are_refused() {
    let mut rng = StdRng::seed_from_u64(1);
    let large = vec![0; MAX_SECRET_BYTES + 1];
    let error = seal(&public(&SECRET_KEY), &binding(), &large, &mut rng);
    assert_eq!(error, Err(SealError::TooLarge(MAX_SECRET_BYTES + 1)));
    assert_eq!(seal(&[0; 32], &binding(), b"x", &mut rng), Err(SealError::Key));
    assert_eq!(open(&SECRET_KEY, &binding(), &[0; 47]), Err(SealError::Length));
    assert_eq!(open(&SECRET_KEY, &binding(), &vec![0; MAX_SECRET_BYTES + 49]), Err(SealError::Length));
    assert_eq!(open(&SECRET_KEY, &binding(), &sealed(b"")).unwrap().len(), 0);
}

proptest! {
    // Curves without optimization are slow.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_changed_bit_is_refused(bit: usize) {
        let mut sealed = sealed(b"secret");
        let bit = bit % (sealed.len() * 8);
        // X25519 ignores the highest bit of a public key, but the key schedule does not.
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(open(&SECRET_KEY, &binding(), &sealed), Err(SealError::NotForThis));
    }

    #[test]
    fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&SECRET_KEY, &binding(), &bytes).is_err());
    }
}
