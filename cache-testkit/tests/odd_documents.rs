//! Odd and hostile documents: those of the fixtures with what each must give, written down by hand, and random ones.

mod odd {
    #[path = "../fixtures/ask.rs"]
    mod ask;
    #[path = "../fixtures/importing.rs"]
    mod importing;
    #[path = "../fixtures/meaning.rs"]
    mod meaning;

    mod documents;
    mod expected;
    mod random;
    mod spellings;
}
