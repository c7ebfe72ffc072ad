//! The list of cases, and the macro that makes a test of each.

/// Makes one named test per case of the [conformance suite](crate::conformance): `merge::an_older_put_is_skipped` and
/// so on, in modules of the place where the macro stands.
///
/// Takes a closure from the clock that the store shall merge by to a fresh [`Place`](crate::conformance::Place), and
/// before it attributes that every test shall have: `conformance_suite!(#[ignore = "needs a server"] |clock| ...)`.
/// The macro stands in a module of its own; an example is in the [module's page](crate::conformance).
#[macro_export]
macro_rules! conformance_suite {
    ($(#[$attribute:meta])* $factory:expr) => {
        fn conformance_place(
            clock: ::std::sync::Arc<dyn $crate::__private::Clock>,
        ) -> impl $crate::conformance::Place {
            $crate::conformance::place($factory, clock)
        }

        $crate::__conformance_cases! { [$(#[$attribute])*]
            merge: [
                a_put_into_nothing_inserts
                a_put_over_a_version_that_is_gone_inserts
                a_put_of_the_same_content_changes_nothing
                a_put_over_the_present_version_beats_the_clock
                a_put_over_the_present_version_needs_no_time
                an_older_put_is_skipped
                a_put_older_by_a_millisecond_is_skipped
                an_older_put_over_another_version_is_skipped
                a_newer_put_replaces
                a_put_newer_by_a_millisecond_replaces
                a_newer_put_over_another_version_replaces
                access_tokens_are_ordered_by_cached_at
                a_put_with_a_time_replaces_one_without
                a_put_with_a_time_over_another_version_replaces_one_without
                a_put_without_a_time_is_skipped_where_one_has_it
                a_put_without_a_time_over_another_version_is_skipped_where_one_has_it
                a_put_of_the_same_time_replaces
                a_put_of_the_same_time_over_another_version_is_skipped
                a_put_without_times_replaces
                a_put_without_times_over_another_version_is_skipped
                a_present_time_beyond_the_clock_freezes_nothing
                a_present_time_beyond_the_clock_freezes_nothing_later
                times_that_the_clock_has_passed_count_as_they_are
                a_put_time_beyond_the_clock_is_no_newer_than_now
                times_beyond_the_clock_are_equal
                a_negative_time_is_a_time
            ]
            guards: [
                a_put_applies_while_its_account_is_present
                a_put_is_skipped_without_its_account
                an_account_that_was_replaced_and_removed_is_gone
                an_account_under_another_host_of_the_cloud_counts
                an_account_without_a_host_counts
                an_account_in_another_cloud_does_not_count
                another_account_does_not_count
                an_account_in_other_case_does_not_count
                tokens_of_the_account_do_not_count
                a_guard_without_environments_never_holds
                a_put_applies_while_its_entry_is_present
                a_put_is_skipped_without_its_entry
                an_entry_of_another_section_does_not_count
                a_guard_goes_before_every_other_row
                a_guard_that_holds_leaves_the_other_rows_to_decide
                a_guard_sees_earlier_changes_of_its_commit
            ]
            removal: [
                a_removed_entry_is_gone
                removal_of_nothing_is_no_error
                a_matching_removal_applies
                a_removal_that_does_not_match_is_skipped
                removal_is_bound_to_the_section
                removal_of_an_account_takes_its_entries_and_no_others
                removal_of_an_account_is_bound_to_its_environments
                removal_of_an_account_ignores_case_and_port_of_hosts
                an_entry_without_a_host_goes_with_its_user
                removal_of_an_account_keeps_the_case_of_ids
                removal_of_an_account_compares_whole_ids
                removal_of_an_unknown_account_is_no_error
                removal_of_the_last_entry_leaves_nothing
                what_was_removed_can_come_back
            ]
            fence: [
                a_lower_fence_is_fenced_out
                the_same_fence_and_a_higher_one_apply
                a_commit_without_a_fence_is_free
                a_fence_is_seen_when_nothing_changes
                removals_are_fenced_out_too
                a_fence_outlives_the_entries
                a_fence_is_bound_to_its_lease
                a_fence_is_bound_to_its_partition
                a_lease_that_has_passed_fences_its_holder_out
            ]
            atomic: [
                an_empty_commit_changes_nothing
                all_changes_apply_together
                changes_apply_in_order
                a_put_behind_a_removal_inserts
                a_version_is_used_up_by_an_earlier_change
                an_account_can_be_replaced_in_one_commit
                skipped_changes_are_reported_and_the_rest_applies
                the_same_commit_twice_is_as_once
                the_same_matching_removal_twice_is_as_once
            ]
            reading: [
                nothing_is_none
                every_section_comes_back
                get_answers_in_the_order_asked
                get_compares_whole_ids
                a_removed_partition_holds_nothing
                foreign_data_stays_untouched
                an_unknown_section_is_one_entry
                unknown_fields_come_back
                partitions_are_apart
                what_was_written_is_there_when_opened_again
            ]
            finding: [
                every_owner_s_tokens_are_found
                every_scope_finds_its_tokens
                case_does_not_matter_where_lookups_ignore_it
                texts_that_are_nearly_one_are_told_apart
                keys_and_components_are_told_apart
                of_several_terms_each_finds_its_tokens
                twins_are_all_found
                nothing_but_access_tokens_is_found
                a_replaced_token_is_found_by_its_new_scopes_only
                what_was_removed_is_not_found
                nothing_is_found_in_an_empty_partition
                another_partition_s_tokens_are_not_found
                a_find_has_the_present_stamp_and_versions
                a_load_within_its_limit_is_whole
                a_load_beyond_its_limit_has_the_present_stamp
            ]
            stamps: [
                every_answer_about_the_stamp_agrees
                a_stamp_never_repeats
                the_stamp_stays_while_nothing_changes
                a_stamp_is_bound_to_its_partition
                a_version_is_its_entry_s_own
                a_commit_answers_the_versions_that_it_wrote
            ]
            handles: [
                each_handle_reads_what_the_other_wrote
                each_handle_misses_what_the_other_removed
                versions_hold_over_handles
                guards_hold_over_handles
            ]
            contention: [
                eight_writers_on_one_handle_lose_nothing
                eight_writers_on_two_handles_lose_nothing
                eight_counters_on_one_handle_lose_no_step
                eight_counters_on_two_handles_lose_no_step
                a_removed_account_stays_removed_while_others_write
                readers_see_whole_commits
            ]
            cancellation: [
                a_cancelled_commit_is_whole
                a_cancelled_first_commit_is_whole
                a_cancelled_removal_is_whole
                a_cancelled_lease_is_free
                cancelled_reads_leave_the_store_working
            ]
            sizes: [
                an_entity_of_one_empty_field
                a_secret_of_no_bytes
                a_secret_of_one_byte
                a_secret_of_4_kb
                secrets_around_64_kib
                a_secret_of_1_mb
                a_secret_of_10_mb
                a_thousand_entries_of_one_commit
            ]
            texts: [
                empty
                space
                trailing_space
                nul
                only_nul
                newlines
                controls
                quotes
                slash
                backslash
                dot
                dots
                traversal
                absolute_path
                device
                file_name_characters
                percent
                option
                sql
                pattern
                hash_tag
                json
                null
                digits
                section_name
                upper_case
                lower_case
                kelvin
                sharp_s
                double_s
                turkish
                composed
                decomposed
                combining
                emoji
                right_to_left
                byte_order_mark
                invisible
                looks_like_a_surrogate
                replacement
                noncharacters
                full_width
                long
                long_with_another_end
                long_beyond_the_first_plane
                all_key_texts_are_distinct
                all_section_names_are_distinct
                all_accounts_are_distinct
                all_partitions_are_distinct
            ]
            partitions: [
                a_thousand_are_listed_page_by_page
                every_kind_is_listed
                those_of_an_account_are_listed
                empty_ones_are_not_listed
                a_page_has_its_limit
                a_walk_survives_removals
                what_a_place_cannot_hold_is_invalid_input
            ]
            leases: [
                a_held_lease_is_busy
                a_held_lease_is_busy_for_another_handle
                a_released_lease_is_free
                a_dropped_lease_is_free
                a_waiter_gets_the_lease
                one_holder_at_a_time
                another_name_is_free
                a_lease_is_bound_to_its_partition
                a_lease_does_not_block_commits
                a_held_lease_renews
                fences_rise
            ]
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($attributes:tt $($module:ident: [$($case:ident)*])*) => {
        $(
            mod $module {
                $($crate::__conformance_case! { $attributes $module $case })*
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_case {
    ([$($attribute:tt)*] $module:ident $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::conformance::check(super::conformance_place, $crate::conformance::$module::$case);
        }
    };
}

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let list = include_str!("suite.rs");
        let sources = [
            ("merge", include_str!("merge.rs")),
            ("guards", include_str!("guards.rs")),
            ("removal", include_str!("removal.rs")),
            ("fence", include_str!("fence.rs")),
            ("atomic", include_str!("atomic.rs")),
            ("reading", include_str!("reading.rs")),
            ("finding", include_str!("finding.rs")),
            ("stamps", include_str!("stamps.rs")),
            ("handles", include_str!("handles.rs")),
            ("contention", include_str!("contention.rs")),
            ("cancellation", include_str!("cancellation.rs")),
            ("sizes", include_str!("sizes.rs")),
            ("texts", include_str!("texts.rs")),
            ("partitions", include_str!("partitions.rs")),
            ("leases", include_str!("leases.rs")),
        ];
        for (module, source) in sources {
            let start = list.find(&format!("            {module}: [")).expect("the module is listed");
            let listed: Vec<&str> =
                list[start..].lines().skip(1).map(str::trim).take_while(|line| *line != "]").collect();
            let cases: Vec<&str> = source.lines().filter_map(case).collect();
            assert!(!cases.is_empty());
            assert_eq!(listed, cases, "the cases of {module}");
        }
    }

    /// The case that a line begins.
    fn case(line: &str) -> Option<&str> {
        let name = line.trim_start().strip_prefix("pub async fn ")?;
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        Some(&name[..end]).filter(|name| !name.is_empty())
    }
}
