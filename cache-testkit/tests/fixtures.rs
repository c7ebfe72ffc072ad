//! Every document that an MSAL library wrote: what its writer would find in it is found, with the very secrets; what
//! must not match does not; and nothing of it is lost.
//!
//! The expectations are written down by hand from the files, not computed by the code under test.

mod fixtures {
    mod ask;
    mod assertions;
    mod files;
    mod importing;
    mod meaning;

    mod dotnet;
    mod go;
    mod node;
    mod preservation;
    mod python;
    mod removal;
    mod truncation;
    mod turns;
    mod twins;
    mod upstream;
}
