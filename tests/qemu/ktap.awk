# SPDX-License-Identifier: GPL-2.0
# Reads a kernel log, judges the KTAP that KUnit printed, fails closed. The kernel's own suites are let
# pass by; only those of the module count.
# Prints one "ok"/"not ok" line a suite, then "cases PASSED FAILED".
{ sub(/^\[ *[0-9.]+\] /, "") }
/^KTAP version/ { top = 1; next }
/^1\.\.[0-9]+$/ && top { planned += substr($0, 4); next }
/^    # Subtest: / { suite = $3; n = 0; bad = 0; want = -1; next }
/^    1\.\.[0-9]+$/ { want = substr($1, 4); next }
/^    ok [0-9]+ / { n++; passed += ours(); next }
function ours() { return suite ~ /^tcp_splice/ }
/^    not ok [0-9]+ / { n++; bad++; failed++; print "not ok kunit " suite "." $4; next }
/^(not )?ok [0-9]+ / && top && suite != "" {
	seen++
	if (n != want) {
		print "not ok kunit " suite ": " n " results of " want " planned"
		failed++
	} else if ($1 == "not" && !bad) {
		print "not ok kunit " suite
		failed++
	} else if (!bad && ours()) {
		suites++
		print "ok kunit " suite " (" n " cases)"
	}
	suite = ""
}
END {
	if (suite != "") { print "not ok kunit " suite ": cut short"; failed++ }
	if (!suites) { print "not ok kunit: no suite ran"; failed++ }
	else if (seen != planned) { print "not ok kunit: " seen " suites of " planned " planned"; failed++ }
	print "cases " passed + 0 " " failed + 0
}
