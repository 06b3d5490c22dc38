// Package packaging makes the packages of sould for Debian and Fedora, and tests them. It is a module of
// its own, so that what makes packages is no dependency of sould.
package packaging
