#ifndef RETORT_TESTS_SUPPORT_TEST_CA_H_
#define RETORT_TESTS_SUPPORT_TEST_CA_H_

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "core/base/check.h"

namespace retort::testing {

// A certificate and its key, as PEM files.
struct TestCertificate {
  std::string cert;
  std::string key;
};

// A certificate authority for one test, with its files in `dir`.
//
//   TestCa ca(dir.path(), "ca");
//   const TestCertificate server = ca.Issue("server");
class TestCa {
 public:
  TestCa(const std::string& dir, const std::string& name)
      : dir_(dir), key_(EVP_EC_gen("P-256"), &EVP_PKEY_free) {
    cert_ = Sign(name, key_.get(), absl::Hours(24), /*is_ca=*/true);
    WriteCertificate(path_ = dir + "/" + name + ".pem", cert_.get());
  }

  // The CA's own certificate.
  const std::string& path() const { return path_; }

  // A certificate for localhost and 127.0.0.1, and for clients. A negative
  // lifetime makes one that has expired.
  TestCertificate Issue(const std::string& common_name,
                        absl::Duration lifetime = absl::Hours(24)) {
    const Key key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    const Certificate cert =
        Sign(common_name, key.get(), lifetime, /*is_ca=*/false);
    const TestCertificate files = {dir_ + "/" + common_name + ".pem",
                                   dir_ + "/" + common_name + ".key"};
    WriteCertificate(files.cert, cert.get());
    FILE* file = fopen(files.key.c_str(), "w");
    RETORT_CHECK(file != nullptr);
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr,
                         nullptr);
    fclose(file);
    ::chmod(files.key.c_str(), 0600);
    return files;
  }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

  Certificate Sign(const std::string& common_name, EVP_PKEY* key,
                   absl::Duration lifetime, bool is_ca) {
    Certificate cert(X509_new(), &X509_free);
    X509_set_version(cert.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -48 * 3600);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()),
                    static_cast<long>(absl::ToInt64Seconds(lifetime)));
    X509_set_pubkey(cert.get(), key);
    X509_NAME* name = X509_get_subject_name(cert.get());
    X509_NAME_add_entry_by_txt(
        name, "CN", MBSTRING_ASC,
        reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    X509_set_issuer_name(cert.get(),
                         is_ca ? name : X509_get_subject_name(cert_.get()));
    Extend(cert.get(), NID_basic_constraints,
           is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (!is_ca) {
      Extend(cert.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    }
    RETORT_CHECK(X509_sign(cert.get(), key_.get(), EVP_sha256()) > 0);
    return cert;
  }

  static void Extend(X509* cert, int nid, const char* value) {
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    RETORT_CHECK(extension != nullptr);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
  }

  static void WriteCertificate(const std::string& path, X509* cert) {
    FILE* file = fopen(path.c_str(), "w");
    RETORT_CHECK(file != nullptr);
    PEM_write_X509(file, cert);
    fclose(file);
  }

  const std::string dir_;
  std::string path_;
  long serial_ = 0;
  const Key key_;
  Certificate cert_{nullptr, &X509_free};
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_TEST_CA_H_
