# test: what every change must pass, the suites in their short form.
# soak: the suites in their long form, an hour, and then the fuzz targets,
# 40 minutes more.
# packages: .deb and .rpm in dist/, of the latest tag v… or of this commit. packages-test: tests of them.
.PHONY: test soak suites race fuzz packages packages-test

SUITES = ^Test(Field.*|Crashes|Cut|Disk|DiskIsFullDuringRepack|RaceMix|Load|Hostile.*|Bounds|WaitingPosts|NoMoreProcesses|Partitions|ManyPushes|Quota|LongProgress)$$
FUZZTIME = 60s

test:
	go test -timeout 20m ./...

soak: suites race fuzz

suites:
	SOULD_SOAK=1 go test -count=1 -timeout 2h -v -run '$(SUITES)' ./tests

race:
	SOULD_SOAK=1 go test -race -count=1 -timeout 1h -v -run '^TestRaceMix$$' ./tests

fuzz:
	for package in $$(grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n 1 dirname | sort -u); do \
		for target in $$(go test -list '^Fuzz' $$package | grep ^Fuzz); do \
			echo "== $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package || exit 1; \
		done; \
	done

packages:
	packaging/build dist

packages-test:
	cd packaging && go vet ./... && go test -timeout 20m ./...
